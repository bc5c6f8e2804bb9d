/* When a loop waits and what ends that: time, timers, other threads, signals, the idle hook. */
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/loop.h"
#include "tests/suite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NS_PER_MS 1000000u

static void must(int err)
{
	if (err)
		abort();
}

static struct loop *open_loop(void)
{
	struct loop *loop = NULL;

	must(loop_open(&loop));
	return loop;
}

/* ---- timers ---- */

struct alarm {
	struct loop *loop;
	struct loop_timer *timer;
	unsigned calls, stop_at;
};

static void tick(void *arg)
{
	struct alarm *alarm = arg;

	alarm->calls++;
	if (alarm->calls == alarm->stop_at)
		loop_stop(alarm->loop);
}

static void alarm_start(struct loop *loop, uint32_t period_ms, struct alarm *alarm)
{
	*alarm = (struct alarm){.loop = loop};
	must(loop_timer_start(loop, period_ms, tick, alarm, &alarm->timer));
}

static void a_timer_comes_every_period(void)
{
	struct loop *loop = open_loop();
	uint64_t begin = clock_ns();
	struct alarm alarm;

	alarm_start(loop, 3, &alarm);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	alarm.stop_at = 4;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(alarm.calls, 4);
	CU_ASSERT_TRUE(clock_ns() - begin >= 12 * NS_PER_MS);
	loop_timer_cancel(alarm.timer);
	CU_ASSERT_EQUAL(loop_turn(loop, 5), 0);
	CU_ASSERT_EQUAL(alarm.calls, 4);
	loop_close(loop);
}

/* ---- waiting, waking, stopping ---- */

static void a_turn_waits_its_time_and_no_more(void)
{
	struct loop *loop = open_loop();
	uint64_t begin = clock_ns();

	CU_ASSERT_EQUAL(loop_turn(loop, 10), 0);
	CU_ASSERT_TRUE(clock_ns() - begin >= 10 * NS_PER_MS);
	loop_close(loop);
}

static void *wake_soon(void *arg)
{
	usleep(5000);
	loop_wake(arg);
	return NULL;
}

static void another_thread_ends_the_wait(void)
{
	struct loop *loop = open_loop();
	pthread_t thread;

	must(pthread_create(&thread, NULL, wake_soon, loop));
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 0);
	pthread_join(thread, NULL);
	/* Once woken, it sleeps again. */
	CU_ASSERT_EQUAL(loop_turn(loop, 3), 0);
	loop_close(loop);
}

static void waking_ahead_of_the_wait_counts(void)
{
	struct loop *loop = open_loop();

	errno = ENOTTY;
	for (int i = 0; i < 1000; i++)
		loop_wake(loop);
	CU_ASSERT_EQUAL(errno, ENOTTY);
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 0);
	loop_close(loop);
}

static struct loop *signalled_loop;

static void wake_in_handler(int number UNUSED)
{
	loop_wake(signalled_loop);
}

static void *signal_soon(void *arg)
{
	usleep(5000);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

static void a_signal_handler_ends_the_wait(void)
{
	const struct sigaction action = {.sa_handler = wake_in_handler, .sa_flags = SA_RESTART};
	pthread_t self = pthread_self(), thread;

	signalled_loop = open_loop();
	must(sigaction(SIGUSR1, &action, NULL));
	must(pthread_create(&thread, NULL, signal_soon, &self));
	CU_ASSERT_EQUAL(loop_turn(signalled_loop, -1), 0);
	pthread_join(thread, NULL);
	loop_close(signalled_loop);
}

struct stopper {
	struct loop *loop;
	unsigned calls;
};

static void stop(void *arg, uint32_t events UNUSED)
{
	struct stopper *stopper = arg;

	stopper->calls++;
	loop_stop(stopper->loop);
}

static void after_stop_no_other_callback_runs(void)
{
	struct stopper stopper = {.loop = open_loop()};
	struct loop_watch *a = NULL, *b = NULL;
	int fd = eventfd(1, EFD_CLOEXEC);

	must(loop_watch(stopper.loop, fd, POLLIN, stop, &stopper, &a));
	must(loop_watch(stopper.loop, fd, POLLIN, stop, &stopper, &b));
	CU_ASSERT_EQUAL(loop_run(stopper.loop), 0);
	CU_ASSERT_EQUAL(stopper.calls, 1);
	/* The other one is not lost. */
	CU_ASSERT_EQUAL(loop_run(stopper.loop), 0);
	CU_ASSERT_EQUAL(stopper.calls, 2);
	loop_unwatch(a);
	loop_unwatch(b);
	close(fd);
	loop_close(stopper.loop);
}

/* ---- idle ---- */

struct spinner {
	int fd; /* eventfd written at the last busy call; -1 for none */
	unsigned calls, busy, heard;
};

static int spin_a_while(void *arg)
{
	struct spinner *spinner = arg;

	spinner->calls++;
	if (spinner->busy && --spinner->busy == 0 && spinner->fd >= 0)
		must(eventfd_write(spinner->fd, 1));
	return spinner->busy > 0;
}

static void hear(void *arg, uint32_t events UNUSED)
{
	struct spinner *spinner = arg;

	spinner->heard++;
}

static void the_hook_works_until_it_is_done(void)
{
	struct spinner spinner = {.fd = -1, .busy = 50};
	struct loop *loop = open_loop();

	loop_set_idle(loop, spin_a_while, &spinner);
	CU_ASSERT_EQUAL(loop_turn(loop, 20), 0);
	CU_ASSERT_EQUAL(spinner.busy, 0);
	CU_ASSERT_TRUE(spinner.calls >= 50);
	/* Then the loop sleeps: calls come with turns and not with time. */
	CU_ASSERT_TRUE(spinner.calls < 60);
	loop_close(loop);
}

static void what_becomes_ready_ends_the_spinning(void)
{
	struct spinner spinner = {.fd = eventfd(0, EFD_CLOEXEC), .busy = 10};
	struct loop *loop = open_loop();
	struct loop_watch *watch = NULL;

	must(loop_watch(loop, spinner.fd, POLLIN, hear, &spinner, &watch));
	loop_set_idle(loop, spin_a_while, &spinner);
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 1);
	CU_ASSERT_EQUAL(spinner.heard, 1);
	spinner.busy = 1000000;
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 1);
	CU_ASSERT_TRUE(spinner.busy > 0);
	loop_unwatch(watch);
	close(spinner.fd);
	loop_close(loop);
}

static int always_busy(void *arg UNUSED)
{
	return 1;
}

static void time_ends_the_spinning(void)
{
	struct loop *loop = open_loop();
	struct alarm alarm;

	loop_set_idle(loop, always_busy, NULL);
	CU_ASSERT_EQUAL(loop_turn(loop, 5), 0);
	alarm_start(loop, 5, &alarm);
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 1);
	loop_timer_cancel(alarm.timer);
	loop_close(loop);
}

static void waking_ends_the_spinning(void)
{
	struct loop *loop = open_loop();
	pthread_t thread;

	loop_set_idle(loop, always_busy, NULL);
	must(pthread_create(&thread, NULL, wake_soon, loop));
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 0);
	pthread_join(thread, NULL);
	loop_close(loop);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_timer_comes_every_period),
		SUITE_TEST(a_turn_waits_its_time_and_no_more),
		SUITE_TEST(another_thread_ends_the_wait),
		SUITE_TEST(waking_ahead_of_the_wait_counts),
		SUITE_TEST(a_signal_handler_ends_the_wait),
		SUITE_TEST(after_stop_no_other_callback_runs),
		SUITE_TEST(the_hook_works_until_it_is_done),
		SUITE_TEST(what_becomes_ready_ends_the_spinning),
		SUITE_TEST(time_ends_the_spinning),
		SUITE_TEST(waking_ends_the_spinning),
		SUITE_END,
	};

	return suite_run("loop_wait", tests);
}
