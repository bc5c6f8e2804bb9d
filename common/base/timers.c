#include "common/base/timers.h"

#include "common/base/fault_point.h"

#include <errno.h>
#include <stdlib.h>

#define NS_PER_MS 1000000u

struct loop_timer {
	struct loop_timers *timers;
	uint64_t due_ns;
	uint64_t period_ns;
	loop_timer_fn *fn;
	void *arg;
	TAILQ_ENTRY(loop_timer) all;
};

void timers_init(struct loop_timers *timers)
{
	TAILQ_INIT(&timers->all);
}

void timers_clear(struct loop_timers *timers)
{
	while (!TAILQ_EMPTY(&timers->all))
		timers_cancel(TAILQ_FIRST(&timers->all));
}

int timers_start(struct loop_timers *timers, uint64_t now_ns, uint32_t period_ms, loop_timer_fn *fn,
		 void *arg, struct loop_timer **out)
{
	struct loop_timer *timer;

	if (period_ms == 0)
		return -EINVAL;
	timer = FAULT_POINT() ? NULL : calloc(1, sizeof(*timer));
	if (!timer)
		return -ENOMEM;
	timer->timers = timers;
	timer->period_ns = (uint64_t)period_ms * NS_PER_MS;
	timer->due_ns = now_ns + timer->period_ns;
	timer->fn = fn;
	timer->arg = arg;
	TAILQ_INSERT_TAIL(&timers->all, timer, all);
	*out = timer;
	return 0;
}

void timers_cancel(struct loop_timer *timer)
{
	if (!timer)
		return;
	TAILQ_REMOVE(&timer->timers->all, timer, all);
	free(timer);
}

static struct loop_timer *first_due(const struct loop_timers *timers)
{
	struct loop_timer *timer, *first = NULL;

	TAILQ_FOREACH (timer, &timers->all, all) {
		if (!first || timer->due_ns < first->due_ns)
			first = timer;
	}
	return first;
}

uint64_t timers_next_ns(const struct loop_timers *timers)
{
	const struct loop_timer *timer = first_due(timers);

	return timer ? timer->due_ns : TIMERS_NEVER;
}

bool timers_run_one(struct loop_timers *timers, uint64_t now_ns)
{
	struct loop_timer *timer = first_due(timers);
	uint64_t missed;

	if (!timer || timer->due_ns > now_ns)
		return false;
	missed = (now_ns - timer->due_ns) / timer->period_ns;
	timer->due_ns += (missed + 1) * timer->period_ns;
	timer->fn(timer->arg);
	return true;
}
