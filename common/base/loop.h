/*
 * The event loop of donord and of the engine's control thread, on io_uring (liburing): descriptors,
 * timers, and nothing else. One thread runs a loop and calls everything here, except loop_wake().
 * Callbacks run on that thread; a callback may add and remove watches, its own included: after
 * loop_unwatch() returns, the callback is not called again.
 *
 * On kernels or in containers without io_uring, loop_open() fails with -ENOSYS or -EPERM.
 *
 * A loop belongs to the process that opened it: a forked child must not touch it, not even close.
 */
#ifndef COMMON_BASE_LOOP_H
#define COMMON_BASE_LOOP_H

#include "common/base/compiler.h"

#include <stdint.h>

struct loop;
struct loop_watch;
struct loop_timer;

/*
 * events: POLLIN, POLLOUT, POLLERR, POLLHUP as poll(2) reports them, level triggered. One
 * difference: a peer that has shut down its writing side is POLLHUP while POLLIN is not waited for.
 */
typedef void loop_ready_fn(void *arg, uint32_t events);
typedef void loop_timer_fn(void *arg);

int loop_open(struct loop **out) MUST_CHECK;
/* Ends the watches and timers that are left; their callbacks are not called. */
void loop_close(struct loop *loop);

/* Watches fd until loop_unwatch(). Does not own fd. -ENOMEM, or what io_uring says. */
int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn *fn, void *arg,
	       struct loop_watch **out) MUST_CHECK;
/* Changes what is waited for. events may be 0: then only POLLERR and POLLHUP. */
int loop_rewatch(struct loop_watch *watch, uint32_t events) MUST_CHECK;
/* NULL is allowed. The loop does not refer to the open file any more: close the descriptor next. */
void loop_unwatch(struct loop_watch *watch);

/*
 * Calls fn every period_ms until cancelled, which the callback may do itself. Periods missed while
 * something else ran are skipped. -EINVAL for 0, or -ENOMEM.
 */
int loop_timer_start(struct loop *loop, uint32_t period_ms, loop_timer_fn *fn, void *arg,
		     struct loop_timer **out) MUST_CHECK;
void loop_timer_cancel(struct loop_timer *timer);

/* Runs callbacks until loop_stop(). Returns 0, or the error that ended it. */
int loop_run(struct loop *loop) MUST_CHECK;

/*
 * One turn: waits at most timeout_ms (0: does not wait, -1: for ever) and runs what is ready.
 * Returns how many callbacks ran, or a negative errno. 0: time is over, loop_wake(), or a signal.
 */
int loop_turn(struct loop *loop, int timeout_ms) MUST_CHECK;

/* Ends loop_run(), or the turn, after the callback in progress. */
void loop_stop(struct loop *loop);

/* Ends a wait from any thread or signal handler. */
void loop_wake(struct loop *loop);

/*
 * Called before the loop would go to sleep, over and over while it returns a positive number
 * ("did so much"); at the first 0 the loop sleeps. This is how a data server spins for a while
 * after the last request. NULL for none.
 */
typedef int loop_idle_fn(void *arg);
void loop_set_idle(struct loop *loop, loop_idle_fn *fn, void *arg);

#endif
