#include "donor/quiet.h"
#include "tests/suite.h"

#include <stdio.h>

#define SECOND 1000000000ull

static struct quiet quiet;
static unsigned lines;
static char last[LOG_LINE_BYTES], first[LOG_LINE_BYTES];

static void keep(void *arg UNUSED, enum log_level level UNUSED, const char *line)
{
	if (!lines++)
		snprintf(first, sizeof(first), "%s", line);
	snprintf(last, sizeof(last), "%s", line);
}

static void begin(void)
{
	quiet_init(&quiet, "strangers");
	lines = 0;
	log_set_sink(keep, NULL);
}

static void a_few_lines_are_logged_as_they_are(void)
{
	begin();
	for (int i = 0; i < 3; i++)
		quiet_line(&quiet, SECOND, LOG_INFO, "stranger %d", i);
	CU_ASSERT_EQUAL(lines, 3);
	CU_ASSERT_STRING_EQUAL(last, "stranger 2");
}

/* So many lines within a second. Returns how many are shown. */
static unsigned flood(int n)
{
	begin();
	for (int i = 0; i < n; i++)
		quiet_line(&quiet, SECOND, LOG_INFO, "stranger %d", i);
	return lines;
}

static void a_flood_is_cut(void)
{
	CU_ASSERT_TRUE(flood(100000) <= 10);
}

static void what_was_cut_is_counted_later(void)
{
	unsigned shown;
	char count[LOG_LINE_BYTES];

	shown = flood(1000);
	lines = 0;
	quiet_line(&quiet, 60 * SECOND, LOG_INFO, "another day");
	CU_ASSERT_EQUAL(lines, 2);
	snprintf(count, sizeof(count), "%u more lines about strangers not shown", 1000 - shown);
	CU_ASSERT_STRING_EQUAL(first, count);
	CU_ASSERT_STRING_EQUAL(last, "another day");
}

/* A flood that is over is told of, though no line comes that would be let through. */
static void what_was_cut_is_told_without_another_line(void)
{
	unsigned shown;
	char count[LOG_LINE_BYTES];

	shown = flood(1000);
	quiet_tell(&quiet, 2 * SECOND);
	CU_ASSERT_EQUAL(lines, shown);
	quiet_tell(&quiet, 60 * SECOND);
	CU_ASSERT_EQUAL(lines, shown + 1);
	snprintf(count, sizeof(count), "%u more lines about strangers not shown", 1000 - shown);
	CU_ASSERT_STRING_EQUAL(last, count);
	quiet_tell(&quiet, 61 * SECOND);
	CU_ASSERT_EQUAL(lines, shown + 1);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_few_lines_are_logged_as_they_are),
		SUITE_TEST(a_flood_is_cut),
		SUITE_TEST(what_was_cut_is_counted_later),
		SUITE_TEST(what_was_cut_is_told_without_another_line),
		SUITE_END,
	};

	return suite_run("quiet lines", tests);
}
