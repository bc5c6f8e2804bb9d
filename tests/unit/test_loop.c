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
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_MS 1000000u
#define MANY 3000 /* more than the ring has requests or completions */

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

/* A watched descriptor that is readable or not as the test says, and what was heard of it. */
struct bell {
	int fd;
	unsigned calls;
	uint32_t events;
	struct loop_watch *watch;
	struct bell *victim; /* unwatched by the callback */
};

static void note(void *arg, uint32_t events)
{
	struct bell *bell = arg;

	bell->calls++;
	bell->events = events;
	if (bell->victim) {
		loop_unwatch(bell->victim->watch);
		bell->victim->watch = NULL;
		bell->victim = NULL;
	}
}

static void ring(struct bell *bell)
{
	must(eventfd_write(bell->fd, 1));
}

static void hush(struct bell *bell)
{
	eventfd_t count;

	must(eventfd_read(bell->fd, &count));
}

static void bell_open(struct loop *loop, struct bell *bell)
{
	*bell = (struct bell){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	if (bell->fd < 0)
		abort();
	must(loop_watch(loop, bell->fd, POLLIN, note, bell, &bell->watch));
}

static void bell_close(struct bell *bell)
{
	loop_unwatch(bell->watch);
	close(bell->fd);
}

static void what_is_ready_is_called(void)
{
	struct loop *loop = open_loop();
	struct bell a, b;

	bell_open(loop, &a);
	bell_open(loop, &b);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	ring(&b);
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 1);
	CU_ASSERT_EQUAL(a.calls, 0);
	CU_ASSERT_EQUAL(b.calls, 1);
	CU_ASSERT_EQUAL(b.events, POLLIN);
	bell_close(&a);
	bell_close(&b);
	loop_close(loop);
}

static void what_stays_ready_is_called_again(void)
{
	struct loop *loop = open_loop();
	struct bell bell;

	bell_open(loop, &bell);
	ring(&bell);
	for (unsigned i = 1; i <= 5; i++) {
		CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
		CU_ASSERT_EQUAL(bell.calls, i);
	}
	hush(&bell);
	/* One completion may be on its way already; then it is quiet. */
	must(loop_turn(loop, 0) < 0);
	bell.calls = 0;
	CU_ASSERT_EQUAL(loop_turn(loop, 5), 0);
	CU_ASSERT_EQUAL(bell.calls, 0);
	bell_close(&bell);
	loop_close(loop);
}

static void after_unwatch_there_is_no_call(void)
{
	struct loop *loop = open_loop();
	struct bell bell;

	bell_open(loop, &bell);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	ring(&bell);
	bell_close(&bell);
	CU_ASSERT_EQUAL(loop_turn(loop, 5), 0);
	CU_ASSERT_EQUAL(bell.calls, 0);
	loop_close(loop);
}

static void a_callback_may_unwatch_itself(void)
{
	struct loop *loop = open_loop();
	struct bell bell;

	bell_open(loop, &bell);
	bell.victim = &bell;
	ring(&bell);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(loop_turn(loop, 5), 0);
	CU_ASSERT_EQUAL(bell.calls, 1);
	bell_close(&bell);
	loop_close(loop);
}

/* Both completions are in the queue when the first of the two callbacks runs. */
static void a_callback_may_unwatch_what_is_ready_too(void)
{
	struct loop *loop = open_loop();
	struct bell a, b;

	bell_open(loop, &a);
	bell_open(loop, &b);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	a.victim = &b;
	b.victim = &a;
	ring(&a);
	ring(&b);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	(void)!loop_turn(loop, 5);
	CU_ASSERT_TRUE(a.calls == 0 || b.calls == 0);
	bell_close(&a);
	bell_close(&b);
	loop_close(loop);
}

/* Memory of the old watch may be used again while its last completion is still to come. */
static void a_new_watch_does_not_inherit(void)
{
	struct loop *loop = open_loop();
	struct bell bell, next;

	bell_open(loop, &bell);
	for (int i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
		ring(&bell);
		bell_close(&bell);
		bell_open(loop, &next);
		CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
		CU_ASSERT_EQUAL(next.calls, 0);
		bell_close(&next);
		bell_open(loop, &bell);
	}
	bell_close(&bell);
	loop_close(loop);
}

struct nest {
	struct loop *loop;
	struct bell inner;
};

static void watch_inner(void *arg, uint32_t events UNUSED)
{
	struct nest *nest = arg;

	if (!nest->inner.watch)
		bell_open(nest->loop, &nest->inner);
	ring(&nest->inner);
}

static void a_callback_may_watch(void)
{
	struct nest nest = {.loop = open_loop()};
	struct loop_watch *watch = NULL;
	int fd = eventfd(1, EFD_CLOEXEC);

	must(loop_watch(nest.loop, fd, POLLIN, watch_inner, &nest, &watch));
	CU_ASSERT_EQUAL(loop_turn(nest.loop, 1000), 1);
	loop_unwatch(watch);
	CU_ASSERT_EQUAL(loop_turn(nest.loop, 1000), 1);
	CU_ASSERT_EQUAL(nest.inner.calls, 1);
	bell_close(&nest.inner);
	close(fd);
	loop_close(nest.loop);
}

static void rewatch_changes_what_is_waited_for(void)
{
	struct loop *loop = open_loop();
	struct bell bell;

	bell_open(loop, &bell);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	CU_ASSERT_EQUAL(loop_rewatch(bell.watch, POLLOUT), 0);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(bell.events, POLLOUT);
	ring(&bell);
	CU_ASSERT_EQUAL(loop_rewatch(bell.watch, POLLIN | POLLOUT), 0);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(bell.events, POLLIN | POLLOUT);
	CU_ASSERT_EQUAL(loop_rewatch(bell.watch, 0), 0);
	CU_ASSERT_EQUAL(loop_turn(loop, 5), 0);
	bell_close(&bell);
	loop_close(loop);
}

static void a_peer_that_goes_is_heard_without_asking(void)
{
	struct loop *loop = open_loop();
	struct bell bell = {.calls = 0};
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	must(loop_watch(loop, pair[0], 0, note, &bell, &bell.watch));
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	close(pair[1]);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_TRUE(bell.events & POLLHUP);
	loop_unwatch(bell.watch);
	close(pair[0]);
	loop_close(loop);
}

static void a_peer_that_stops_writing_counts_as_gone_if_nobody_reads(void)
{
	struct loop *loop = open_loop();
	struct bell bell = {.calls = 0};
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	must(loop_watch(loop, pair[0], 0, note, &bell, &bell.watch));
	shutdown(pair[1], SHUT_WR);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(bell.events, POLLHUP);
	CU_ASSERT_EQUAL(loop_rewatch(bell.watch, POLLIN), 0);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(bell.events, POLLIN);
	loop_unwatch(bell.watch);
	close(pair[0]);
	close(pair[1]);
	loop_close(loop);
}

static void a_descriptor_that_is_none_is_an_error(void)
{
	struct loop *loop = open_loop();
	struct bell bell = {.calls = 0};

	must(loop_watch(loop, 1 << 20, POLLIN, note, &bell, &bell.watch));
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(bell.events, POLLERR);
	loop_unwatch(bell.watch);
	loop_close(loop);
}

/* The poll of a watch refers to the open file: that must end with the watch, not some time later.
 */
static void closing_after_unwatch_reaches_the_peer_at_once(void)
{
	struct loop *loop = open_loop();
	struct bell bell = {.calls = 0};
	int pair[2];
	char byte;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	must(loop_watch(loop, pair[0], POLLIN, note, &bell, &bell.watch));
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	loop_unwatch(bell.watch);
	close(pair[0]);
	CU_ASSERT_EQUAL(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
	close(pair[1]);
	loop_close(loop);
}

static struct bell bells[MANY];

static unsigned total_calls(void)
{
	unsigned calls = 0;

	for (int i = 0; i < MANY; i++)
		calls += bells[i].calls;
	return calls;
}

static void thousands_are_all_heard(void)
{
	const struct rlimit files = {MANY + 100, MANY + 100};
	struct loop *loop = open_loop();

	must(setrlimit(RLIMIT_NOFILE, &files));
	for (int i = 0; i < MANY; i++)
		bell_open(loop, &bells[i]);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	for (int i = 0; i < MANY; i++)
		ring(&bells[i]);
	for (int turns = 0; turns < MANY && total_calls() < MANY; turns++)
		must(loop_turn(loop, 1000) < 0);
	for (int i = 0; i < MANY; i++)
		CU_ASSERT_TRUE(bells[i].calls > 0);
	for (int i = 0; i < MANY; i++)
		bell_close(&bells[i]);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	loop_close(loop);
}

static void thousands_may_go_while_they_are_ready(void)
{
	struct loop *loop = open_loop();
	unsigned calls;

	for (int i = 0; i < MANY; i++)
		bell_open(loop, &bells[i]);
	for (int i = 0; i < MANY; i++)
		ring(&bells[i]);
	must(loop_turn(loop, 1000) < 0);
	calls = total_calls();
	for (int i = 0; i < MANY; i++)
		bell_close(&bells[i]);
	CU_ASSERT_EQUAL(loop_turn(loop, 5), 0);
	CU_ASSERT_EQUAL(total_calls(), calls);
	loop_close(loop);
}

static void close_ends_what_is_left(void)
{
	struct loop *loop = open_loop();
	struct bell bell, dead;

	bell_open(loop, &bell);
	bell_open(loop, &dead);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 0);
	ring(&bell);
	loop_unwatch(dead.watch);
	loop_close(loop);
	loop_close(NULL);
	CU_ASSERT_EQUAL(bell.calls, 0);
	close(bell.fd);
	close(dead.fd);
}

/* ---- timers ---- */

struct alarm {
	struct loop *loop;
	struct loop_timer *timer, *victim;
	unsigned calls, stop_at;
};

static void tick(void *arg)
{
	struct alarm *alarm = arg;

	alarm->calls++;
	if (alarm->victim)
		loop_timer_cancel(alarm->victim);
	alarm->victim = NULL;
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

static void missed_periods_are_skipped(void)
{
	struct loop *loop = open_loop();
	struct alarm alarm;

	alarm_start(loop, 1, &alarm);
	usleep(10000);
	CU_ASSERT_EQUAL(loop_turn(loop, 0), 1);
	CU_ASSERT_EQUAL(alarm.calls, 1);
	loop_timer_cancel(alarm.timer);
	loop_close(loop);
}

static void a_timer_may_cancel_itself_and_others(void)
{
	struct loop *loop = open_loop();
	struct alarm a, b;

	alarm_start(loop, 1, &a);
	alarm_start(loop, 1, &b);
	a.victim = b.timer;
	b.victim = a.timer;
	usleep(3000);
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(a.calls + b.calls, 1);
	if (a.calls) {
		a.victim = a.timer;
	} else {
		b.victim = b.timer;
	}
	CU_ASSERT_EQUAL(loop_turn(loop, 1000), 1);
	CU_ASSERT_EQUAL(loop_turn(loop, 3), 0);
	CU_ASSERT_EQUAL(a.calls + b.calls, 2);
	loop_close(loop);
}

static void a_period_of_zero_is_refused(void)
{
	struct loop *loop = open_loop();
	struct loop_timer *timer = NULL;

	CU_ASSERT_EQUAL(loop_timer_start(loop, 0, tick, NULL, &timer), -EINVAL);
	CU_ASSERT_PTR_NULL(timer);
	loop_timer_cancel(NULL);
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

static void stop_and_note(void *arg, uint32_t events)
{
	struct nest *nest = arg;

	note(&nest->inner, events);
	loop_stop(nest->loop);
}

static void after_stop_no_other_callback_runs(void)
{
	struct nest nest = {.loop = open_loop()};
	struct loop_watch *a = NULL, *b = NULL;
	int fd = eventfd(1, EFD_CLOEXEC);

	must(loop_watch(nest.loop, fd, POLLIN, stop_and_note, &nest, &a));
	must(loop_watch(nest.loop, fd, POLLIN, stop_and_note, &nest, &b));
	CU_ASSERT_EQUAL(loop_run(nest.loop), 0);
	CU_ASSERT_EQUAL(nest.inner.calls, 1);
	/* The other one is not lost. */
	CU_ASSERT_EQUAL(loop_run(nest.loop), 0);
	CU_ASSERT_EQUAL(nest.inner.calls, 2);
	loop_unwatch(a);
	loop_unwatch(b);
	close(fd);
	loop_close(nest.loop);
}

/* ---- idle ---- */

struct spinner {
	struct bell *bell; /* rung at the last call */
	unsigned calls, busy;
};

static int spin_a_while(void *arg)
{
	struct spinner *spinner = arg;

	spinner->calls++;
	if (spinner->busy && --spinner->busy == 0 && spinner->bell)
		ring(spinner->bell);
	return spinner->busy > 0;
}

static void the_hook_works_until_it_is_done(void)
{
	struct spinner spinner = {.busy = 50};
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
	struct loop *loop = open_loop();
	struct bell bell;
	struct spinner spinner = {.bell = &bell, .busy = 10};

	bell_open(loop, &bell);
	loop_set_idle(loop, spin_a_while, &spinner);
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 1);
	CU_ASSERT_EQUAL(bell.calls, 1);
	spinner.busy = 1000000;
	CU_ASSERT_EQUAL(loop_turn(loop, -1), 1);
	CU_ASSERT_TRUE(spinner.busy > 0);
	bell_close(&bell);
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

static const struct suite_test tests[] = {
	SUITE_TEST(what_is_ready_is_called),
	SUITE_TEST(what_stays_ready_is_called_again),
	SUITE_TEST(after_unwatch_there_is_no_call),
	SUITE_TEST(a_callback_may_unwatch_itself),
	SUITE_TEST(a_callback_may_unwatch_what_is_ready_too),
	SUITE_TEST(a_new_watch_does_not_inherit),
	SUITE_TEST(a_callback_may_watch),
	SUITE_TEST(rewatch_changes_what_is_waited_for),
	SUITE_TEST(a_peer_that_goes_is_heard_without_asking),
	SUITE_TEST(a_peer_that_stops_writing_counts_as_gone_if_nobody_reads),
	SUITE_TEST(a_descriptor_that_is_none_is_an_error),
	SUITE_TEST(closing_after_unwatch_reaches_the_peer_at_once),
	SUITE_TEST(thousands_are_all_heard),
	SUITE_TEST(thousands_may_go_while_they_are_ready),
	SUITE_TEST(close_ends_what_is_left),
	SUITE_TEST(a_timer_comes_every_period),
	SUITE_TEST(missed_periods_are_skipped),
	SUITE_TEST(a_timer_may_cancel_itself_and_others),
	SUITE_TEST(a_period_of_zero_is_refused),
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

int main(void)
{
	return suite_run("loop", tests);
}
