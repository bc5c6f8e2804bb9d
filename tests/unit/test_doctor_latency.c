#include "pager/ctl/doctor.h"
#include "tests/suite.h"

#include <errno.h>
#include <string.h>

#define CHEAP_NS 25000
#define DEAR_NS 25001

static struct report report;

static void judge(uint64_t p50_ns, int obstacle)
{
	CU_ASSERT_EQUAL_FATAL(report_open(&report, true), 0);
	doctor_judge_latency(&report, p50_ns, obstacle);
	CU_ASSERT_EQUAL_FATAL(json_array_size(report.checks), 1);
}

static const char *said(const char *key)
{
	const char *text = json_string_value(json_object_get(report.last, key));

	return text ? text : "";
}

static void is_named_with_its_figure(uint64_t p50_ns)
{
	CU_ASSERT_STRING_EQUAL(said("name"), "cpu-latency");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(report.last, "wake_p50_ns")),
			(json_int_t)p50_ns);
	CU_ASSERT_PTR_NOT_NULL(strstr(said("text"), "takes 25.0 us"));
	CU_ASSERT_EQUAL(report.bad, 0);
	json_decref(report.checks);
}

static void cheap_is_well_whatever_is_permitted(void)
{
	static const int obstacles[] = {0, -EACCES, -ENODEV};

	for (size_t i = 0; i < ARRAY_LEN(obstacles); i++) {
		judge(CHEAP_NS, obstacles[i]);
		CU_ASSERT_STRING_EQUAL(said("status"), "ok");
		CU_ASSERT_STRING_EQUAL(said("fix"), "");
		CU_ASSERT_PTR_NULL(strstr(said("text"), "libpager"));
		is_named_with_its_figure(CHEAP_NS);
	}
}

static void dear_is_well_where_it_can_be_helped(void)
{
	judge(DEAR_NS, 0);
	CU_ASSERT_STRING_EQUAL(said("status"), "ok");
	CU_ASSERT_STRING_EQUAL(said("fix"), "");
	CU_ASSERT_PTR_NOT_NULL(strstr(said("text"), "keeps them awake"));
	is_named_with_its_figure(DEAR_NS);
}

static void dear_and_not_permitted_has_a_fix(void)
{
	judge(DEAR_NS, -EACCES);
	CU_ASSERT_STRING_EQUAL(said("status"), "warn");
	CU_ASSERT_PTR_NOT_NULL(strstr(said("text"), "ermission denied"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said("fix"), "/dev/cpu_dma_latency"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said("fix"), "guest_halt_poll_ns"));
	is_named_with_its_figure(DEAR_NS);
}

/* To be permitted to write to the file would change nothing. */
static void dear_and_no_driver_has_another_fix(void)
{
	judge(DEAR_NS, -ENODEV);
	CU_ASSERT_STRING_EQUAL(said("status"), "warn");
	CU_ASSERT_PTR_NOT_NULL(strstr(said("fix"), "cpuidle_haltpoll"));
	CU_ASSERT_PTR_NULL(strstr(said("fix"), "/dev/cpu_dma_latency"));
	is_named_with_its_figure(DEAR_NS);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(cheap_is_well_whatever_is_permitted),
		SUITE_TEST(dear_is_well_where_it_can_be_helped),
		SUITE_TEST(dear_and_not_permitted_has_a_fix),
		SUITE_TEST(dear_and_no_driver_has_another_fix),
		SUITE_END,
	};

	return suite_run("doctor_latency", tests);
}
