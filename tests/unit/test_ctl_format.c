#include "pager/ctl/format.h"
#include "tests/suite.h"

#include <string.h>

static const char *size(uint64_t bytes)
{
	static char text[FORMAT_BYTES];

	return format_size(bytes, text);
}

static const char *duration(uint64_t ns)
{
	static char text[FORMAT_BYTES];

	return format_duration(ns, text);
}

static void sizes_have_the_unit_that_fits(void)
{
	CU_ASSERT_STRING_EQUAL(size(0), "0 B");
	CU_ASSERT_STRING_EQUAL(size(1023), "1023 B");
	CU_ASSERT_STRING_EQUAL(size(1024), "1.0 KiB");
	CU_ASSERT_STRING_EQUAL(size(1536), "1.5 KiB");
	CU_ASSERT_STRING_EQUAL(size(256u << 20), "256.0 MiB");
	CU_ASSERT_STRING_EQUAL(size(UINT64_C(3) << 40), "3.0 TiB");
	CU_ASSERT_STRING_EQUAL(size(UINT64_MAX), "16.0 EiB");
}

static void rounding_up_carries_into_the_next_unit(void)
{
	CU_ASSERT_STRING_EQUAL(size((1u << 20) - 1), "1.0 MiB");
	CU_ASSERT_STRING_EQUAL(duration(999970), "1.0 ms");
}

static void durations_have_the_unit_that_fits(void)
{
	CU_ASSERT_STRING_EQUAL(duration(0), "0 ns");
	CU_ASSERT_STRING_EQUAL(duration(999), "999 ns");
	CU_ASSERT_STRING_EQUAL(duration(5300), "5.3 us");
	CU_ASSERT_STRING_EQUAL(duration(12000000), "12.0 ms");
	CU_ASSERT_STRING_EQUAL(duration(UINT64_C(90000000000)), "90.0 s");
}

static void names_cannot_command_a_terminal(void)
{
	char text[] = "a\033[2J\n\x7f\xff z";

	format_plain(text);
	CU_ASSERT_STRING_EQUAL(text, "a?[2J??? z");
}

static void a_percentile_is_not_over_the_largest(void)
{
	static struct hist hist;

	CU_ASSERT_EQUAL(format_percentile(&hist, 0.5), 0);
	hist_add(&hist, 1000000);
	hist_add(&hist, 10);
	CU_ASSERT(hist_percentile(&hist, 0.99) > 1000000);
	CU_ASSERT_EQUAL(format_percentile(&hist, 0.99), 1000000);
	CU_ASSERT_EQUAL(format_percentile(&hist, 0.5), hist_percentile(&hist, 0.5));
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(sizes_have_the_unit_that_fits),
		SUITE_TEST(rounding_up_carries_into_the_next_unit),
		SUITE_TEST(durations_have_the_unit_that_fits),
		SUITE_TEST(names_cannot_command_a_terminal),
		SUITE_TEST(a_percentile_is_not_over_the_largest),
		SUITE_END,
	};

	return suite_run("ctl_format", tests);
}
