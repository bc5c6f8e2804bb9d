#include "common/base/loop.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/loop_watch.h"
#include "common/base/timers.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
	struct loop_watches watches;
	struct loop_timers timers;
	struct loop_watch *wake_watch;
	int wake_fd;   /* eventfd */
	bool woken;    /* loop_wake() was called since the turn began */
	bool stopping; /* loop_stop() was called: no more callbacks in this turn */
	int ran;       /* callbacks in this turn */
	loop_idle_fn *idle;
	void *idle_arg;
};

#define NS_PER_MS 1000000u

/* ---- watches ---- */

int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn *fn, void *arg,
	       struct loop_watch **out)
{
	struct loop_watch *watch = watches_add(&loop->watches, fd, events, fn, arg);

	if (!watch)
		return -ENOMEM;
	*out = watch;
	return 0;
}

/* Only what was there at first: callbacks that make new events must not keep the turn going. */
static void dispatch(struct loop *loop)
{
	unsigned ready = watches_ready(&loop->watches);

	while (ready-- && !loop->stopping)
		loop->ran += watches_run_one(&loop->watches);
}

/* ---- timers ---- */

int loop_timer_start(struct loop *loop, uint32_t period_ms, loop_timer_fn *fn, void *arg,
		     struct loop_timer **out)
{
	return timers_start(&loop->timers, clock_ns(), period_ms, fn, arg, out);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	timers_cancel(timer);
}

static void run_timers(struct loop *loop)
{
	uint64_t now_ns = clock_ns();

	while (!loop->stopping && timers_run_one(&loop->timers, now_ns))
		loop->ran++;
}

/* ---- turns ---- */

/* Lets the idle hook work until it has nothing to do, something else has, or the time is over. */
static int spin(struct loop *loop, uint64_t until_ns)
{
	while (loop->idle && !watches_ready(&loop->watches)) {
		int err;

		if (loop->idle(loop->idle_arg) <= 0)
			return 0;
		if (loop->stopping || clock_ns() >= until_ns)
			return 0;
		watches_draw(&loop->watches);
		err = watches_submit(&loop->watches);
		if (err)
			return err;
	}
	return 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Waits until something is ready or the time is over. */
static int wait_ready(struct loop *loop, uint64_t deadline_ns)
{
	uint64_t until_ns = earlier(deadline_ns, timers_next_ns(&loop->timers));
	int err;

	watches_draw(&loop->watches);
	if (loop->idle && clock_ns() < until_ns) {
		/* Before spinning, so that what is ready already ends it. */
		err = watches_submit(&loop->watches);
		if (!err)
			err = spin(loop, until_ns);
		if (err || loop->stopping)
			return err;
		watches_draw(&loop->watches);
	}
	/* Timers may have been added or cancelled by the idle hook. */
	until_ns = earlier(deadline_ns, timers_next_ns(&loop->timers));
	/* Changes that found no room: come back soon. */
	if (watches_ready(&loop->watches) || !TAILQ_EMPTY(&loop->watches.changed))
		until_ns = 0;
	return watches_wait(&loop->watches, until_ns);
}

static uint64_t deadline_after(int timeout_ms)
{
	if (timeout_ms < 0)
		return TIMERS_NEVER;
	return timeout_ms == 0 ? 0 : clock_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

static int turn(struct loop *loop, int timeout_ms)
{
	uint64_t deadline_ns = deadline_after(timeout_ms);
	int err;

	loop->ran = 0;
	loop->woken = false;
	do {
		err = wait_ready(loop, deadline_ns);
		if (err == -EINTR)
			return 0;
		if (err)
			return err;
		dispatch(loop);
		run_timers(loop);
	} while (!loop->ran && !loop->woken && !loop->stopping && clock_ns() < deadline_ns);
	return loop->ran;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
	loop->stopping = false;
	return turn(loop, timeout_ms);
}

int loop_run(struct loop *loop)
{
	int n = 0;

	while (!loop->stopping && n >= 0)
		n = turn(loop, -1);
	loop->stopping = false;
	return n < 0 ? n : 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

/* write(2) on an eventfd is safe in a signal handler, and enough: the counter is never full. */
void loop_wake(struct loop *loop)
{
	const uint64_t one = 1;
	int saved_errno = errno;
	ssize_t n = write(loop->wake_fd, &one, sizeof(one));

	(void)n;
	errno = saved_errno;
}

static void take_wake(void *arg, uint32_t events UNUSED)
{
	struct loop *loop = arg;
	uint64_t count;
	ssize_t n = read(loop->wake_fd, &count, sizeof(count));

	(void)n;
	loop->woken = true;
	loop->ran--; /* for dispatch(), which counts this: it is nobody's callback */
}

void loop_set_idle(struct loop *loop, loop_idle_fn *fn, void *arg)
{
	loop->idle = fn;
	loop->idle_arg = arg;
}

/* ---- open and close ---- */

static int wake_open(struct loop *loop)
{
	if (FAULT_POINT())
		return -EMFILE;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return -errno;
	loop->wake_watch = watches_add(&loop->watches, loop->wake_fd, POLLIN, take_wake, loop);
	if (loop->wake_watch)
		return 0;
	close(loop->wake_fd);
	return -ENOMEM;
}

int loop_open(struct loop **out)
{
	struct loop *loop = FAULT_POINT() ? NULL : calloc(1, sizeof(*loop));
	int err;

	if (!loop)
		return -ENOMEM;
	timers_init(&loop->timers);
	err = watches_open(&loop->watches);
	if (err)
		goto err_loop;
	err = wake_open(loop);
	if (err)
		goto err_watches;
	*out = loop;
	return 0;

err_watches:
	watches_close(&loop->watches);
err_loop:
	free(loop);
	return err;
}

void loop_close(struct loop *loop)
{
	if (!loop)
		return;
	watches_close(&loop->watches);
	timers_clear(&loop->timers);
	close(loop->wake_fd);
	free(loop);
}
