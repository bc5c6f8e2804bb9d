#include "pager/budget.h"

#include "common/base/compiler.h"
#include "pager/config.h"
#include "tests/suite.h"

#define MS 1000000u
#define SECOND (1000 * (uint64_t)MS)

static void check_order(uint64_t bytes)
{
	struct budget budget = budget_of(bytes);

	CU_ASSERT_EQUAL(budget.pages, bytes >> PAGE_SHIFT);
	CU_ASSERT(budget.near > 0);
	CU_ASSERT(budget.near <= budget.adopt);
	CU_ASSERT(budget.adopt < budget.low);
	CU_ASSERT(budget.low < budget.high);
	CU_ASSERT(budget.high <= budget.pages);
	CU_ASSERT(budget.pages < budget.hard);
	CU_ASSERT(budget.staged > 0 && budget.staged < budget.low);
}

static void marks_are_in_order_from_the_smallest_on(void)
{
	check_order(CONFIG_MIN_LOCAL);
	for (uint64_t bytes = CONFIG_MIN_LOCAL; bytes <= (uint64_t)1 << 40; bytes += bytes / 7)
		check_order(bytes);
}

static void the_smallest_budget_keeps_most_of_itself(void)
{
	struct budget budget = budget_of(CONFIG_MIN_LOCAL);

	CU_ASSERT(budget.low > budget.pages / 2);
	CU_ASSERT(budget.hard < budget.pages * 3 / 2);
	CU_ASSERT(budget.staged <= budget.pages / 8);
}

static void headroom_is_small_against_a_large_budget(void)
{
	struct budget budget = budget_of((uint64_t)64 << 30);

	CU_ASSERT(budget.hard - budget.low < budget.pages / 100);
	CU_ASSERT(budget.staged < budget.pages / 100);
}

static void the_watcher_sleeps_within_bounds(void)
{
	CU_ASSERT_EQUAL(budget_pause(100, 100, SECOND), MS);
	CU_ASSERT_EQUAL(budget_pause(101, 100, SECOND), MS);
	CU_ASSERT_EQUAL(budget_pause(UINT64_MAX, 0, SECOND), MS);
	CU_ASSERT_EQUAL(budget_pause(99, 100, SECOND), MS);
	CU_ASSERT_EQUAL(budget_pause(0, (uint64_t)1 << 28, SECOND), SECOND); /* a terabyte to go */
}

static void the_watcher_wakes_before_the_fastest_program_is_there(void)
{
	uint64_t left = 100000, before = 0;
	uint64_t ns = budget_pause(0, left, 10 * SECOND);

	/* 10 GB/s is 10 bytes a nanosecond; within one part in twenty of it */
	CU_ASSERT(ns * 10 <= left * PAGE_BYTES * 21 / 20);
	CU_ASSERT(ns * 10 >= left * PAGE_BYTES * 19 / 20);
	for (uint64_t pages = 0; pages < 10 * left; pages += 997) {
		ns = budget_pause(0, pages, 10 * SECOND);
		CU_ASSERT(ns >= before);
		before = ns;
	}
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(marks_are_in_order_from_the_smallest_on),
		SUITE_TEST(the_smallest_budget_keeps_most_of_itself),
		SUITE_TEST(headroom_is_small_against_a_large_budget),
		SUITE_TEST(the_watcher_sleeps_within_bounds),
		SUITE_TEST(the_watcher_wakes_before_the_fastest_program_is_there),
		SUITE_END,
	};

	return suite_run("budget", tests);
}
