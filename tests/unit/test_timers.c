#include "common/base/timers.h"
#include "tests/suite.h"

#include <errno.h>
#include <stdlib.h>

#define MS 1000000ull

struct alarm {
	struct loop_timer *timer, *victim;
	unsigned calls;
};

static struct loop_timers timers;

static void tick(void *arg)
{
	struct alarm *alarm = arg;

	alarm->calls++;
	timers_cancel(alarm->victim);
	alarm->victim = NULL;
}

static void start(struct alarm *alarm, uint64_t now_ns, uint32_t period_ms)
{
	*alarm = (struct alarm){.calls = 0};
	if (timers_start(&timers, now_ns, period_ms, tick, alarm, &alarm->timer))
		abort();
}

static unsigned run(uint64_t now_ns)
{
	unsigned calls = 0;

	while (timers_run_one(&timers, now_ns))
		calls++;
	return calls;
}

static void nothing_is_due_before_its_time(void)
{
	struct alarm alarm;

	timers_init(&timers);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), TIMERS_NEVER);
	start(&alarm, 100 * MS, 5);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), 105 * MS);
	CU_ASSERT_EQUAL(run(105 * MS - 1), 0);
	CU_ASSERT_EQUAL(run(105 * MS), 1);
	CU_ASSERT_EQUAL(alarm.calls, 1);
	timers_clear(&timers);
}

static void periods_do_not_drift(void)
{
	struct alarm alarm;

	timers_init(&timers);
	start(&alarm, 0, 10);
	CU_ASSERT_EQUAL(run(13 * MS), 1);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), 20 * MS);
	CU_ASSERT_EQUAL(run(20 * MS), 1);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), 30 * MS);
	timers_clear(&timers);
}

static void missed_periods_are_skipped(void)
{
	struct alarm alarm;

	timers_init(&timers);
	start(&alarm, 0, 1);
	CU_ASSERT_EQUAL(run(1000 * MS), 1);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), 1001 * MS);
	timers_clear(&timers);
}

static void the_longest_due_comes_first(void)
{
	struct alarm slow, fast;

	timers_init(&timers);
	start(&slow, 0, 10);
	start(&fast, 0, 7);
	CU_ASSERT_TRUE(timers_run_one(&timers, 12 * MS));
	CU_ASSERT_EQUAL(fast.calls, 1);
	CU_ASSERT_EQUAL(slow.calls, 0);
	CU_ASSERT_TRUE(timers_run_one(&timers, 12 * MS));
	CU_ASSERT_EQUAL(slow.calls, 1);
	CU_ASSERT_FALSE(timers_run_one(&timers, 12 * MS));
	timers_clear(&timers);
}

static void a_callback_may_cancel_its_own_timer(void)
{
	struct alarm alarm;

	timers_init(&timers);
	start(&alarm, 0, 1);
	alarm.victim = alarm.timer;
	CU_ASSERT_EQUAL(run(5 * MS), 1);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), TIMERS_NEVER);
}

static void a_callback_may_cancel_one_that_is_due(void)
{
	struct alarm first, second;

	timers_init(&timers);
	start(&first, 0, 1);
	start(&second, 0, 2);
	first.victim = second.timer;
	CU_ASSERT_EQUAL(run(5 * MS), 1);
	CU_ASSERT_EQUAL(second.calls, 0);
	timers_clear(&timers);
}

static void a_period_of_zero_is_refused(void)
{
	struct loop_timer *timer = NULL;

	timers_init(&timers);
	CU_ASSERT_EQUAL(timers_start(&timers, 0, 0, tick, NULL, &timer), -EINVAL);
	CU_ASSERT_PTR_NULL(timer);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), TIMERS_NEVER);
}

static void the_longest_period_does_not_wrap(void)
{
	struct alarm alarm;

	timers_init(&timers);
	start(&alarm, 5, UINT32_MAX);
	CU_ASSERT_EQUAL(timers_next_ns(&timers), 5 + UINT32_MAX * MS);
	timers_clear(&timers);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(nothing_is_due_before_its_time),
		SUITE_TEST(periods_do_not_drift),
		SUITE_TEST(missed_periods_are_skipped),
		SUITE_TEST(the_longest_due_comes_first),
		SUITE_TEST(a_callback_may_cancel_its_own_timer),
		SUITE_TEST(a_callback_may_cancel_one_that_is_due),
		SUITE_TEST(a_period_of_zero_is_refused),
		SUITE_TEST(the_longest_period_does_not_wrap),
		SUITE_END,
	};

	return suite_run("timers", tests);
}
