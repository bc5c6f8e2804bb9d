#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/lock.h"
#include "tests/suite.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define THREADS 16
#define ROUNDS 20000
#define NS_PER_MS 1000000u

static struct lock lock;
static unsigned long counter; /* guarded by lock */

static void start(pthread_t *thread, void *(*run)(void *))
{
	if (pthread_create(thread, NULL, run, NULL))
		abort();
}

static void *count(void *arg UNUSED)
{
	for (int i = 0; i < ROUNDS; i++) {
		lock_acquire(&lock);
		counter++;
		lock_release(&lock);
	}
	return NULL;
}

static void many_threads_never_hold_it_together(void)
{
	pthread_t threads[THREADS];

	counter = 0;
	for (int i = 0; i < THREADS; i++)
		start(&threads[i], count);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(counter, (unsigned long)THREADS * ROUNDS);
	CU_ASSERT_EQUAL(lock.state, 0);
}

static void *count_once(void *arg UNUSED)
{
	lock_acquire(&lock);
	counter++;
	lock_release(&lock);
	return NULL;
}

/* 2: somebody gave up spinning. */
static void await_sleeper(void)
{
	while (atomic_load(&lock.state) != 2)
		sched_yield();
}

static void sleepers_all_get_their_turn(void)
{
	pthread_t threads[THREADS];

	counter = 0;
	lock_acquire(&lock);
	for (int i = 0; i < THREADS; i++)
		start(&threads[i], count_once);
	await_sleeper();
	CU_ASSERT_EQUAL(counter, 0);
	lock_release(&lock);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(counter, THREADS);
}

static void nobody_waiting_costs_no_wake_up(void)
{
	lock_acquire(&lock);
	CU_ASSERT_EQUAL(lock.state, 1);
	lock_release(&lock);
	CU_ASSERT_EQUAL(lock.state, 0);
}

static _Atomic uint32_t word;

static void *set_word(void *arg UNUSED)
{
	atomic_store(&word, 1);
	futex_wake_all(&word);
	return NULL;
}

static void a_sleeper_sees_the_change(void)
{
	pthread_t thread;

	word = 0;
	start(&thread, set_word);
	while (atomic_load(&word) == 0)
		futex_sleep(&word, 0, 0);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(word, 1);
}

static void a_changed_word_is_not_slept_on(void)
{
	word = 5;
	futex_sleep(&word, 4, 0);
	CU_ASSERT_EQUAL(word, 5);
}

static void a_sleep_ends_with_its_time(void)
{
	uint64_t begin = clock_ns();

	word = 0;
	futex_sleep(&word, 0, 5 * NS_PER_MS);
	CU_ASSERT_TRUE(clock_ns() - begin >= 5 * NS_PER_MS);
}

static void a_time_that_is_over_is_not_slept(void)
{
	word = 0;
	CU_ASSERT_FALSE(futex_sleep_until(&word, 0, clock_ns()));
	CU_ASSERT_TRUE(futex_sleep_until(&word, 1, clock_ns() + NS_PER_MS));
}

static void who_awaits_a_word_gets_it(void)
{
	pthread_t thread;

	word = 0;
	start(&thread, set_word);
	CU_ASSERT_EQUAL(futex_await(&word, 0, 60000 * NS_PER_MS), 1);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(futex_await(&word, 1, NS_PER_MS), 1);
}

static void errno_is_kept(void)
{
	word = 0;
	errno = ENOTTY;
	futex_sleep(&word, 0, 1);
	futex_sleep(&word, 1, 1);
	futex_wake_all(&word);
	CU_ASSERT_EQUAL(errno, ENOTTY);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(many_threads_never_hold_it_together),
		SUITE_TEST(sleepers_all_get_their_turn),
		SUITE_TEST(nobody_waiting_costs_no_wake_up),
		SUITE_TEST(a_sleeper_sees_the_change),
		SUITE_TEST(a_changed_word_is_not_slept_on),
		SUITE_TEST(a_sleep_ends_with_its_time),
		SUITE_TEST(a_time_that_is_over_is_not_slept),
		SUITE_TEST(who_awaits_a_word_gets_it),
		SUITE_TEST(errno_is_kept),
		SUITE_END,
	};

	return suite_run("lock", tests);
}
