#include "common/base/loop.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/timers.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

/*
 * A watch is one single-shot poll request, put again after each callback: arming looks at the
 * descriptor's state, so a callback that leaves something unread is called again. (A multishot poll
 * is edge triggered.) It costs no system call, for requests go to the kernel with the wait.
 *
 *              arm                      completion
 *    RESTING ────────▶ ARMED ─────────────────────────▶ RESTING ─▶ callback
 *       │                │ loop_unwatch, loop_rewatch       ▲
 *       │                ▼                                  │ completion (of the poll: the data
 *       │           CANCELLING ─────────────────────────────┘  or -ECANCELED, whichever came first)
 *       ▼
 *     freed, if dead
 *
 * A poll completes exactly once, cancelled or not, and its completion carries the address of the
 * watch. So a dead watch that is ARMED or CANCELLING stays allocated, without ever being called,
 * until that completion was seen, wherever in the queue it is by then.
 */
enum watch_state { RESTING, ARMED, CANCELLING };

struct loop_watch {
	struct loop *loop;
	int fd;
	uint32_t events;       /* wanted */
	uint32_t armed_events; /* what the kernel was asked for; in ARMED and CANCELLING */
	enum watch_state state;
	bool dead;   /* unwatched */
	bool listed; /* in loop->changed */
	loop_ready_fn *fn;
	void *arg;
	TAILQ_ENTRY(loop_watch) all;
	TAILQ_ENTRY(loop_watch) change;
};

struct loop {
	struct io_uring ring;
	TAILQ_HEAD(, loop_watch) watches; /* dead ones included */
	TAILQ_HEAD(, loop_watch) changed; /* to be armed or cancelled before the next wait */
	struct loop_timers timers;
	struct loop_watch *wake_watch;
	int wake_fd;   /* eventfd */
	bool woken;    /* loop_wake() was called since the turn began */
	bool stopping; /* loop_stop() was called: no more callbacks in this turn */
	int ran;       /* callbacks in this turn */
	loop_idle_fn *idle;
	void *idle_arg;
};

/* Requests in one system call; completions beyond twice that wait in the kernel. A guess. */
#define RING_ENTRIES 256

/* NODROP: completions are never lost. EXT_ARG: a wait with a timeout is one system call. */
#define RING_FEATURES (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)

#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u

/* ---- watches: what the kernel has to be told ---- */

static void list_change(struct loop_watch *watch)
{
	if (watch->listed)
		return;
	watch->listed = true;
	TAILQ_INSERT_TAIL(&watch->loop->changed, watch, change);
}

static void unlist_change(struct loop_watch *watch)
{
	if (!watch->listed)
		return;
	watch->listed = false;
	TAILQ_REMOVE(&watch->loop->changed, watch, change);
}

static void watch_free(struct loop_watch *watch)
{
	unlist_change(watch);
	TAILQ_REMOVE(&watch->loop->watches, watch, all);
	free(watch);
}

static void arm(struct loop_watch *watch, struct io_uring_sqe *sqe)
{
	io_uring_prep_poll_add(sqe, watch->fd, watch->events);
	io_uring_sqe_set_data(sqe, watch);
	watch->armed_events = watch->events;
	watch->state = ARMED;
}

/* The cancellation's own completion carries NULL and says nothing we need. */
static void cancel(struct loop_watch *watch, struct io_uring_sqe *sqe)
{
	io_uring_prep_poll_remove(sqe, (uint64_t)(uintptr_t)watch);
	io_uring_sqe_set_data(sqe, NULL);
	watch->state = CANCELLING;
}

static bool wants_arming(const struct loop_watch *watch)
{
	return watch->state == RESTING && !watch->dead;
}

static bool wants_cancelling(const struct loop_watch *watch)
{
	return watch->state == ARMED && (watch->dead || watch->armed_events != watch->events);
}

/* A free request, after making room if need be; NULL while the kernel takes none. */
static struct io_uring_sqe *take_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (sqe || io_uring_submit(&loop->ring) < 0)
		return sqe;
	return io_uring_get_sqe(&loop->ring);
}

/* Turns changes into requests. What finds no room stays listed for the next turn. */
static void draw_changes(struct loop *loop)
{
	struct loop_watch *watch;

	while ((watch = TAILQ_FIRST(&loop->changed))) {
		if (wants_arming(watch) || wants_cancelling(watch)) {
			struct io_uring_sqe *sqe = take_sqe(loop);

			if (!sqe)
				return;
			if (watch->state == RESTING)
				arm(watch, sqe);
			else
				cancel(watch, sqe);
		}
		unlist_change(watch);
	}
}

static struct loop_watch *watch_new(struct loop *loop, int fd, uint32_t events, loop_ready_fn *fn,
				    void *arg)
{
	struct loop_watch *watch = FAULT_POINT() ? NULL : calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->loop = loop;
	watch->fd = fd;
	watch->events = events;
	watch->fn = fn;
	watch->arg = arg;
	TAILQ_INSERT_TAIL(&loop->watches, watch, all);
	list_change(watch);
	return watch;
}

int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn *fn, void *arg,
	       struct loop_watch **out)
{
	struct loop_watch *watch = watch_new(loop, fd, events, fn, arg);

	if (!watch)
		return -ENOMEM;
	*out = watch;
	return 0;
}

int loop_rewatch(struct loop_watch *watch, uint32_t events)
{
	watch->events = events;
	list_change(watch);
	return 0;
}

/*
 * An armed poll holds the open file, and with it the port or the peer, even after the caller has
 * closed the descriptor: so it is cancelled now and not only with the next wait.
 */
void loop_unwatch(struct loop_watch *watch)
{
	struct loop *loop;

	if (!watch)
		return;
	loop = watch->loop;
	watch->dead = true;
	if (watch->state == RESTING) {
		watch_free(watch);
		return;
	}
	list_change(watch);
	draw_changes(loop);
	(void)io_uring_submit(&loop->ring); /* if it cannot now, the next wait does it */
}

/* ---- completions ---- */

/*
 * What poll(2) would report of it; 0 if it is nothing that is (still) waited for. io_uring also
 * ends a poll with POLLRDHUP that nobody asked for, again and again: it counts as POLLHUP then.
 */
static uint32_t ready_events(const struct loop_watch *watch, int result)
{
	uint32_t events = (uint32_t)result & (watch->events | POLLERR | POLLHUP);

	if (result == -ECANCELED)
		return 0;
	if (result < 0)
		return POLLERR;
	if (!events && (result & POLLRDHUP))
		return POLLHUP;
	return events;
}

static void complete(struct loop_watch *watch, int result)
{
	struct loop *loop = watch->loop;
	uint32_t events;

	watch->state = RESTING;
	if (watch->dead) {
		watch_free(watch);
		return;
	}
	/* Listed before the callback, which may free the watch. */
	list_change(watch);
	events = ready_events(watch, result);
	if (!events)
		return;
	if (watch != loop->wake_watch)
		loop->ran++;
	watch->fn(watch->arg, events);
}

/* Only what was there at first: callbacks that make new events must not keep the turn going. */
static void dispatch(struct loop *loop)
{
	unsigned ready = io_uring_cq_ready(&loop->ring);
	struct io_uring_cqe *cqe;

	while (ready-- && !loop->stopping && io_uring_peek_cqe(&loop->ring, &cqe) == 0) {
		struct loop_watch *watch = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&loop->ring, cqe);
		if (watch)
			complete(watch, result);
	}
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

static bool is_ready(struct loop *loop)
{
	return io_uring_cq_ready(&loop->ring) > 0;
}

/* What a wait may end with and the turn still goes on. */
static int harmless(int err)
{
	switch (err) {
	case -ETIME:
	case -EAGAIN: /* no memory for a request at the moment, */
	case -EBUSY:  /* or too many completions: both pass when those are taken */
		return 0;
	default:
		return err < 0 ? err : 0;
	}
}

/* Hands over the requests and waits for a completion until then (a time of the past: no wait). */
static int submit_and_wait(struct loop *loop, uint64_t until_ns)
{
	struct __kernel_timespec timeout;
	struct io_uring_cqe *cqe;
	uint64_t now = clock_ns(), left;

	if (until_ns == TIMERS_NEVER)
		return harmless(io_uring_submit_and_wait(&loop->ring, 1));
	left = until_ns > now ? until_ns - now : 0;
	timeout = (struct __kernel_timespec){
		.tv_sec = (long long)(left / NS_PER_S),
		.tv_nsec = (long long)(left % NS_PER_S),
	};
	return harmless(io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &timeout, NULL));
}

/* Lets the idle hook work until it has nothing to do, something else has, or the time is over. */
static int spin(struct loop *loop, uint64_t until_ns)
{
	while (loop->idle && !is_ready(loop)) {
		int err;

		if (loop->idle(loop->idle_arg) <= 0)
			return 0;
		if (loop->stopping || clock_ns() >= until_ns)
			return 0;
		draw_changes(loop);
		err = harmless(io_uring_submit(&loop->ring));
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

	draw_changes(loop);
	if (loop->idle && clock_ns() < until_ns) {
		/* Before spinning, so that what is ready already ends it. */
		err = harmless(io_uring_submit(&loop->ring));
		if (!err)
			err = spin(loop, until_ns);
		if (err || loop->stopping)
			return err;
		draw_changes(loop);
	}
	/* Timers may have been added or cancelled by the idle hook. */
	until_ns = earlier(deadline_ns, timers_next_ns(&loop->timers));
	/* Changes that found no room: come back soon. */
	if (is_ready(loop) || !TAILQ_EMPTY(&loop->changed))
		until_ns = 0;
	return submit_and_wait(loop, until_ns);
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
}

void loop_set_idle(struct loop *loop, loop_idle_fn *fn, void *arg)
{
	loop->idle = fn;
	loop->idle_arg = arg;
}

/* ---- open and close ---- */

static int ring_open(struct io_uring *ring)
{
	int err;

	err = FAULT_POINT() ? -ENOMEM : io_uring_queue_init(RING_ENTRIES, ring, 0);
	if (err)
		return err;
	if ((ring->features & RING_FEATURES) != RING_FEATURES) {
		err = -ENOSYS;
		goto err_ring;
	}
	/* A child that touched the shared queues would answer for its parent. */
	err = FAULT_POINT() ? -ENOMEM : io_uring_ring_dontfork(ring);
	if (err)
		goto err_ring;
	return 0;

err_ring:
	io_uring_queue_exit(ring);
	return err;
}

static int wake_open(struct loop *loop)
{
	if (FAULT_POINT())
		return -EMFILE;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return -errno;
	loop->wake_watch = watch_new(loop, loop->wake_fd, POLLIN, take_wake, loop);
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
	TAILQ_INIT(&loop->watches);
	TAILQ_INIT(&loop->changed);
	timers_init(&loop->timers);
	err = ring_open(&loop->ring);
	if (err)
		goto err_loop;
	err = wake_open(loop);
	if (err)
		goto err_ring;
	*out = loop;
	return 0;

err_ring:
	io_uring_queue_exit(&loop->ring);
err_loop:
	free(loop);
	return err;
}

void loop_close(struct loop *loop)
{
	if (!loop)
		return;
	/* The kernel ends the polls with the ring; nothing refers to the watches then. */
	io_uring_queue_exit(&loop->ring);
	while (!TAILQ_EMPTY(&loop->watches))
		watch_free(TAILQ_FIRST(&loop->watches));
	timers_clear(&loop->timers);
	close(loop->wake_fd);
	free(loop);
}
