/* gate.h: callers of mremap(3) and the engine that registers memory. */
#include "pager/gate.h"

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "tests/suite.h"

#include <pthread.h>
#include <sched.h>

#define NS_PER_MS 1000000u

static struct gate gate;

static pthread_t start(void *(*run)(void *))
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, NULL), 0);
	return thread;
}

static void any_number_may_be_inside(void)
{
	gate_enter(&gate);
	gate_enter(&gate);
	gate_leave(&gate);
	gate_leave(&gate);
	CU_ASSERT_TRUE(gate_close(&gate));
	gate_open(&gate);
}

/* ---- each waits for the other ---- */

static _Atomic int entered, closed;

static void *enter(void *arg)
{
	gate_enter(&gate);
	atomic_store(&entered, 1);
	gate_leave(&gate);
	return arg;
}

static void who_comes_to_a_closed_gate_waits(void)
{
	pthread_t thread;
	int before, after;

	atomic_store(&entered, 0);
	CU_ASSERT_TRUE(gate_close(&gate));
	thread = start(enter);
	while (!atomic_load(&gate.waiting))
		sched_yield();
	before = atomic_load(&entered);
	gate_open(&gate);
	pthread_join(thread, NULL);
	after = atomic_load(&entered);
	CU_ASSERT_EQUAL(before, 0);
	CU_ASSERT_EQUAL(after, 1);
}

static void *close_and_open(void *arg)
{
	if (gate_close(&gate))
		atomic_store(&closed, 1);
	gate_open(&gate);
	return arg;
}

/* Again if this thread was kept from its CPU for so long that the other gave up. */
static void who_closes_waits_for_those_inside(void)
{
	int before = 0, after = 0;

	for (unsigned i = 0; i < 100 && !after; i++) {
		pthread_t thread;

		atomic_store(&closed, 0);
		gate_enter(&gate);
		thread = start(close_and_open);
		while (atomic_load(&gate.word) == 1)
			sched_yield();
		before += atomic_load(&closed);
		gate_leave(&gate);
		pthread_join(thread, NULL);
		after = atomic_load(&closed);
	}
	CU_ASSERT_EQUAL(before, 0);
	CU_ASSERT_EQUAL(after, 1);
}

/* ---- but not for ever ---- */

static void who_never_leaves_does_not_hold_up_the_engine(void)
{
	uint64_t begin = clock_ns();

	gate_enter(&gate);
	CU_ASSERT_FALSE(gate_close(&gate));
	gate_open(&gate);
	CU_ASSERT_TRUE(clock_ns() - begin >= (uint64_t)GATE_CLOSE_MS * NS_PER_MS);
	gate_enter(&gate); /* others pass */
	gate_leave(&gate);
	CU_ASSERT_FALSE(gate_close(&gate)); /* at once */
	gate_open(&gate);
	gate_leave(&gate);
	CU_ASSERT_TRUE(gate_close(&gate));
	gate_open(&gate);
}

static void what_never_opens_does_not_hold_up_the_program(void)
{
	uint64_t begin = clock_ns();

	CU_ASSERT_TRUE(gate_close(&gate));
	gate_enter(&gate);
	CU_ASSERT_TRUE(clock_ns() - begin >= (uint64_t)GATE_ENTER_MS * NS_PER_MS);
	gate_leave(&gate);
	gate_open(&gate);
	CU_ASSERT_TRUE(gate_close(&gate));
	gate_open(&gate);
}

/* ---- all at once ---- */

#define PASSES 20000u

static _Atomic int inside, outside_only, met;

static void *pass_often(void *arg)
{
	for (unsigned i = 0; i < PASSES; i++) {
		gate_enter(&gate);
		atomic_fetch_add(&inside, 1);
		if (atomic_load(&outside_only))
			atomic_fetch_add(&met, 1);
		atomic_fetch_sub(&inside, 1);
		gate_leave(&gate);
	}
	return arg;
}

static void nobody_is_inside_while_it_is_closed(void)
{
	pthread_t threads[3];
	unsigned shut = 0;
	int together;

	atomic_store(&met, 0);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		threads[i] = start(pass_often);
	for (unsigned i = 0; i < PASSES / 4; i++) {
		if (gate_close(&gate)) {
			atomic_store(&outside_only, 1);
			if (atomic_load(&inside))
				atomic_fetch_add(&met, 1);
			atomic_store(&outside_only, 0);
			shut++;
		}
		gate_open(&gate);
	}
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	together = atomic_load(&met);
	CU_ASSERT_EQUAL(together, 0);
	CU_ASSERT_TRUE(shut > 0);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(any_number_may_be_inside),
		SUITE_TEST(who_comes_to_a_closed_gate_waits),
		SUITE_TEST(who_closes_waits_for_those_inside),
		SUITE_TEST(who_never_leaves_does_not_hold_up_the_engine),
		SUITE_TEST(what_never_opens_does_not_hold_up_the_program),
		SUITE_TEST(nobody_is_inside_while_it_is_closed),
		SUITE_END,
	};

	return suite_run("gate", tests);
}
