#include "pager/reason.h"

#include "tests/suite.h"

#include <errno.h>
#include <string.h>

static char text[REASON_BYTES];

static void a_reason_continues_a_sentence(void)
{
	CU_ASSERT_STRING_EQUAL(reason_text(-ECONNREFUSED, text), "connection refused");
	CU_ASSERT_STRING_EQUAL(reason_text(-ENOENT, text), "no such file or directory");
}

static void what_a_user_sees_as_one_thing_reads_as_one(void)
{
	char other[REASON_BYTES];

	CU_ASSERT_STRING_EQUAL(reason_text(-EPIPE, text), reason_text(-ECONNRESET, other));
	CU_ASSERT_STRING_EQUAL(reason_text(-ETIMEDOUT, text), "no answer");
}

static void only_the_first_letter_becomes_small(void)
{
	CU_ASSERT_STRING_EQUAL(reason_text(-EL2NSYNC, text), "level 2 not synchronized");
	CU_ASSERT_STRING_EQUAL(reason_text(-ENOEXEC, text), "exec format error");
	CU_ASSERT_EQUAL(strncmp(reason_text(-ENOTBLK, text), "block", 5), 0);
	CU_ASSERT_STRING_EQUAL(reason_text(-ERFKILL, text),
			       "operation not possible due to RF-kill");
}

static void an_unknown_errno_is_a_number(void)
{
	CU_ASSERT_STRING_EQUAL(reason_text(-4000, text), "error 4000");
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_reason_continues_a_sentence),
		SUITE_TEST(what_a_user_sees_as_one_thing_reads_as_one),
		SUITE_TEST(only_the_first_letter_becomes_small),
		SUITE_TEST(an_unknown_errno_is_a_number),
		SUITE_END,
	};

	return suite_run("reason", tests);
}
