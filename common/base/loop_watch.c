#include "common/base/loop_watch.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/timers.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

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
	struct loop_watches *in;
	int fd;
	uint32_t events;       /* wanted */
	uint32_t armed_events; /* what the kernel was asked for; in ARMED and CANCELLING */
	enum watch_state state;
	bool dead;   /* unwatched */
	bool listed; /* among those `changed` */
	loop_ready_fn *fn;
	void *arg;
	TAILQ_ENTRY(loop_watch) all;
	TAILQ_ENTRY(loop_watch) change;
};

/* Requests in one system call; completions beyond twice that wait in the kernel. A guess. */
#define RING_ENTRIES 256

/* NODROP: completions are never lost. EXT_ARG: a wait with a timeout is one system call. */
#define RING_FEATURES (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)

#define NS_PER_S 1000000000u

/* ---- what the kernel has to be told ---- */

static void list_change(struct loop_watch *watch)
{
	if (watch->listed)
		return;
	watch->listed = true;
	TAILQ_INSERT_TAIL(&watch->in->changed, watch, change);
}

static void unlist_change(struct loop_watch *watch)
{
	if (!watch->listed)
		return;
	watch->listed = false;
	TAILQ_REMOVE(&watch->in->changed, watch, change);
}

static void watch_free(struct loop_watch *watch)
{
	unlist_change(watch);
	TAILQ_REMOVE(&watch->in->all, watch, all);
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
static struct io_uring_sqe *take_sqe(struct loop_watches *watches)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&watches->ring);

	if (sqe || io_uring_submit(&watches->ring) < 0)
		return sqe;
	return io_uring_get_sqe(&watches->ring);
}

/* Turns changes into requests. What finds no room stays listed for the next turn. */
void watches_draw(struct loop_watches *watches)
{
	struct loop_watch *watch;

	while ((watch = TAILQ_FIRST(&watches->changed))) {
		if (wants_arming(watch) || wants_cancelling(watch)) {
			struct io_uring_sqe *sqe = take_sqe(watches);

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

struct loop_watch *watches_add(struct loop_watches *watches, int fd, uint32_t events,
			       loop_ready_fn *fn, void *arg)
{
	struct loop_watch *watch = FAULT_POINT() ? NULL : calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->in = watches;
	watch->fd = fd;
	watch->events = events;
	watch->fn = fn;
	watch->arg = arg;
	TAILQ_INSERT_TAIL(&watches->all, watch, all);
	list_change(watch);
	return watch;
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
	struct loop_watches *watches;

	if (!watch)
		return;
	watches = watch->in;
	watch->dead = true;
	if (watch->state == RESTING) {
		watch_free(watch);
		return;
	}
	list_change(watch);
	watches_draw(watches);
	(void)io_uring_submit(&watches->ring); /* if it cannot now, the next wait does it */
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

/* Whether its callback was called. */
static bool complete(struct loop_watch *watch, int result)
{
	uint32_t events;

	watch->state = RESTING;
	if (watch->dead) {
		watch_free(watch);
		return false;
	}
	/* Listed before the callback, which may free the watch. */
	list_change(watch);
	events = ready_events(watch, result);
	if (!events)
		return false;
	watch->fn(watch->arg, events);
	return true;
}

unsigned watches_ready(const struct loop_watches *watches)
{
	return io_uring_cq_ready(&watches->ring);
}

bool watches_run_one(struct loop_watches *watches)
{
	struct loop_watch *watch;
	struct io_uring_cqe *cqe;
	int result;

	if (io_uring_peek_cqe(&watches->ring, &cqe))
		return false;
	watch = io_uring_cqe_get_data(cqe);
	result = cqe->res;
	io_uring_cqe_seen(&watches->ring, cqe);
	return watch && complete(watch, result);
}

/* ---- waiting ---- */

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

int watches_submit(struct loop_watches *watches)
{
	if (!io_uring_sq_ready(&watches->ring) && !io_uring_cq_has_overflow(&watches->ring))
		return 0; /* older versions of the library enter the kernel all the same */
	return harmless(io_uring_submit(&watches->ring));
}

int watches_wait(struct loop_watches *watches, uint64_t until_ns)
{
	struct __kernel_timespec timeout;
	struct io_uring_cqe *cqe;
	uint64_t now = clock_ns(), left;

	if (until_ns == TIMERS_NEVER)
		return harmless(io_uring_submit_and_wait(&watches->ring, 1));
	left = until_ns > now ? until_ns - now : 0;
	timeout = (struct __kernel_timespec){
		.tv_sec = (long long)(left / NS_PER_S),
		.tv_nsec = (long long)(left % NS_PER_S),
	};
	return harmless(io_uring_submit_and_wait_timeout(&watches->ring, &cqe, 1, &timeout, NULL));
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

int watches_open(struct loop_watches *watches)
{
	TAILQ_INIT(&watches->all);
	TAILQ_INIT(&watches->changed);
	return ring_open(&watches->ring);
}

void watches_close(struct loop_watches *watches)
{
	/* The kernel ends the polls with the ring; nothing refers to the watches then. */
	io_uring_queue_exit(&watches->ring);
	while (!TAILQ_EMPTY(&watches->all))
		watch_free(TAILQ_FIRST(&watches->all));
}
