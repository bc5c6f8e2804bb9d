/*
 * Why a donor is given up. Whoever finds something wrong with it, on whatever thread, says so here;
 * the first cause stays, and wakes the care thread, which does the rest.
 */
#ifndef PAGER_VERDICT_H
#define PAGER_VERDICT_H

#include <stdatomic.h>
#include <stdbool.h>

struct verdict {
	_Atomic int err; /* 0 while nothing is wrong, else a negative errno */
	void (*wake)(void *arg);
	void *arg;
};

static inline int verdict_of(const struct verdict *verdict)
{
	return atomic_load_explicit(&verdict->err, memory_order_acquire);
}

static inline void verdict_pass(struct verdict *verdict, int err)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&verdict->err, &none, err))
		verdict->wake(verdict->arg);
}

/* There is something for the care thread to do at once. Any thread. */
static inline void verdict_wake(const struct verdict *verdict)
{
	verdict->wake(verdict->arg);
}

#endif
