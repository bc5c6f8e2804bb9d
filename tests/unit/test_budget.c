#include "pager/budget.h"

#include "common/base/compiler.h"
#include "pager/allowance.h"
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

static void a_limit_is_prepared_for_sooner(void)
{
	struct budget usual = budget_of(CONFIG_MIN_LOCAL), limit = usual;

	budget_make_limit(&limit);
	CU_ASSERT(limit.near > 0);
	CU_ASSERT(limit.near < limit.adopt);
	CU_ASSERT(limit.near < usual.near);
	CU_ASSERT(limit.adopt < usual.adopt);
	CU_ASSERT_EQUAL(limit.hard, usual.hard);
	budget_change(&usual, (uint64_t)1 << 30);
	budget_change(&limit, (uint64_t)1 << 30);
	CU_ASSERT(limit.adopt < usual.adopt);
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

static void a_budget_within_a_limit_keeps_its_bound_below_it(void)
{
	CU_ASSERT_EQUAL(budget_within(0), 0);
	CU_ASSERT_EQUAL(budget_within(32u << 20), 0);
	for (uint64_t limit = 64u << 20; limit < (uint64_t)1 << 40; limit += limit / 5) {
		uint64_t bytes = budget_within(limit);

		CU_ASSERT(bytes + bytes / 8 + (32u << 20) < limit);
		CU_ASSERT(limit < (256u << 20) || bytes > limit / 10 * 6);
	}
}

static void no_more_lingers_than_memory_was_set_aside_for(void)
{
	struct budget budget = budget_of(64u << 20), large = budget_of(1u << 30);
	struct budget least = budget_of(CONFIG_MIN_LOCAL);
	uint32_t staged = budget.staged, few = least.staged;

	budget_change(&budget, 1u << 30);
	CU_ASSERT_EQUAL(budget.pages, large.pages);
	CU_ASSERT_EQUAL(budget.low, large.low);
	CU_ASSERT_EQUAL(budget.high, large.high);
	CU_ASSERT_EQUAL(budget.hard, large.hard);
	CU_ASSERT_EQUAL(budget.near, large.near);
	CU_ASSERT_EQUAL(budget.adopt, large.adopt);
	CU_ASSERT_EQUAL(budget.staged, staged);
	budget_change(&budget, CONFIG_MIN_LOCAL);
	CU_ASSERT_EQUAL(budget.staged, few);
	budget_change(&budget, 64u << 20);
	CU_ASSERT_EQUAL(budget.staged, staged);
}

/* ---- what the user leaves to the group's limit ---- */

#define GIB ((uint64_t)1 << 30)

static void a_size_is_a_size(void)
{
	const struct config config = {.local = CONFIG_LOCAL_SIZE, .local_bytes = 77u << 20};

	CU_ASSERT_FALSE(allowance_moves(&config));
	CU_ASSERT_EQUAL(allowance_of(&config, 0, GIB, GIB), 77u << 20);
	CU_ASSERT_EQUAL(allowance(&config, 5), 77u << 20);
}

static void a_percentage_is_of_the_limit(void)
{
	const struct config config = {.local = CONFIG_LOCAL_PERCENT, .local_percent = 25};

	CU_ASSERT_TRUE(allowance_moves(&config));
	CU_ASSERT_EQUAL(allowance_of(&config, 0, 100 * GIB, 3), 25 * GIB);
	CU_ASSERT_EQUAL(allowance_of(&config, GIB, 100 * GIB, GIB), 25 * GIB);
	CU_ASSERT_EQUAL(allowance_of(&config, 0, 1u << 20, 0), CONFIG_MIN_LOCAL);
	/* whatever this machine has: a quarter of it is less than the whole */
	CU_ASSERT(allowance(&config, 0) >= CONFIG_MIN_LOCAL);
}

static void auto_is_what_the_others_leave(void)
{
	const struct config config = {.local = CONFIG_LOCAL_AUTO};

	CU_ASSERT_EQUAL(allowance_of(&config, 0, GIB, GIB), budget_within(GIB));
	/* what is ours already counts as much as what is left */
	CU_ASSERT_EQUAL(allowance_of(&config, GIB / 2, GIB, GIB / 4), budget_within(GIB / 4 * 3));
	/* cache counts as left, and is not more than there is */
	CU_ASSERT_EQUAL(allowance_of(&config, GIB, GIB, GIB), budget_within(GIB));
	CU_ASSERT_EQUAL(allowance_of(&config, 0, GIB, 0), CONFIG_MIN_LOCAL);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(marks_are_in_order_from_the_smallest_on),
		SUITE_TEST(a_limit_is_prepared_for_sooner),
		SUITE_TEST(the_smallest_budget_keeps_most_of_itself),
		SUITE_TEST(headroom_is_small_against_a_large_budget),
		SUITE_TEST(the_watcher_sleeps_within_bounds),
		SUITE_TEST(the_watcher_wakes_before_the_fastest_program_is_there),
		SUITE_TEST(a_budget_within_a_limit_keeps_its_bound_below_it),
		SUITE_TEST(no_more_lingers_than_memory_was_set_aside_for),
		SUITE_TEST(a_size_is_a_size),
		SUITE_TEST(a_percentage_is_of_the_limit),
		SUITE_TEST(auto_is_what_the_others_leave),
		SUITE_END,
	};

	return suite_run("budget", tests);
}
