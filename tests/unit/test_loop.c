#include "common/base/compiler.h"
#include "common/base/loop.h"
#include "tests/suite.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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
	SUITE_END,
};

int main(void)
{
	return suite_run("loop", tests);
}
