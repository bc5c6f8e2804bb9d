/*
 * The timers of a loop, without the loop and without a clock: what is due is a matter of the time
 * that the caller gives. Only loop.c and the tests call this; programs use loop_timer_start().
 */
#ifndef COMMON_BASE_TIMERS_H
#define COMMON_BASE_TIMERS_H

#include "common/base/loop.h"

#include <stdbool.h>
#include <sys/queue.h>

/* A loop has a handful of timers: a list that is searched does. */
struct loop_timers {
	TAILQ_HEAD(, loop_timer) all;
};

#define TIMERS_NEVER UINT64_MAX

void timers_init(struct loop_timers *timers);
/* Cancels all. */
void timers_clear(struct loop_timers *timers);

/* First due a period after now_ns. -EINVAL for a period of 0, or -ENOMEM. */
int timers_start(struct loop_timers *timers, uint64_t now_ns, uint32_t period_ms, loop_timer_fn *fn,
		 void *arg, struct loop_timer **out) MUST_CHECK;
/* NULL is allowed. */
void timers_cancel(struct loop_timer *timer);

/* When the first one is due; TIMERS_NEVER if there is none. */
uint64_t timers_next_ns(const struct loop_timers *timers);

/*
 * Calls the timer that has been due for longest and moves it to its first period after now_ns;
 * false if none is due. The callback may start and cancel any timer. Periods missed are skipped,
 * so called over and over with one now_ns this ends.
 */
bool timers_run_one(struct loop_timers *timers, uint64_t now_ns);

#endif
