/*
 * The few lines every CUnit program shares: a table of tests, one suite, CUnit's own closing lines,
 * and an exit status. A test that this machine cannot run is made inactive with its reason.
 */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>

struct suite_test {
	const char *name; /* a promise: "a_full_queue_loses_nothing" */
	void (*run)(void);
	const char *inactive; /* NULL, or why it cannot run here */
};

#define SUITE_TEST(fn)        \
	{                     \
#fn, fn, NULL \
	}
#define SUITE_END                \
	{                        \
		NULL, NULL, NULL \
	}

/* None of them can run here, and why; or all can, with NULL. */
void suite_set_inactive(struct suite_test *tests, const char *why);

/* Runs the table; returns what main() should return. */
int suite_run(const char *name, const struct suite_test *tests);

#endif
