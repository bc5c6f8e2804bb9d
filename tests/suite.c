#include "tests/suite.h"

#include <stdio.h>

void suite_set_inactive(struct suite_test *tests, const char *why)
{
	for (; tests->name; tests++)
		tests->inactive = why;
}

int suite_run(const char *name, const struct suite_test *tests)
{
	CU_pSuite suite;
	unsigned failures;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	suite = CU_add_suite(name, NULL, NULL);
	if (!suite)
		return 2;
	for (; tests->name; tests++) {
		CU_pTest test = CU_add_test(suite, tests->name, tests->run);

		if (!test)
			return 2;
		if (tests->inactive) {
			CU_set_test_active(test, CU_FALSE);
			printf("inactive: %s: %s\n", tests->name, tests->inactive);
		}
	}
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_set_fail_on_inactive(CU_FALSE);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures ? 1 : 0;
}
