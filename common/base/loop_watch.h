/*
 * The watches of a loop, and the io_uring that they wait with: all that knows of it. For loop.c, on
 * the loop's thread. loop_rewatch() and loop_unwatch() are here, too.
 */
#ifndef COMMON_BASE_LOOP_WATCH_H
#define COMMON_BASE_LOOP_WATCH_H

#include "common/base/loop.h"

#include <liburing.h>
#include <stdbool.h>
#include <sys/queue.h>

struct loop_watches {
	struct io_uring ring;
	TAILQ_HEAD(, loop_watch) all;	  /* dead ones included */
	TAILQ_HEAD(, loop_watch) changed; /* to be armed or cancelled before the next wait */
};

/* 0, or what io_uring says; -ENOSYS where it cannot do what is needed. */
int watches_open(struct loop_watches *watches) MUST_CHECK;
/* Ends those that are left; their callbacks are not called. */
void watches_close(struct loop_watches *watches);

/* NULL: no memory. */
struct loop_watch *watches_add(struct loop_watches *watches, int fd, uint32_t events,
			       loop_ready_fn *fn, void *arg);

/* Turns changes into requests. What finds no room stays in `changed`. */
void watches_draw(struct loop_watches *watches);
/* Hands the requests over. */
int watches_submit(struct loop_watches *watches) MUST_CHECK;
/* The same, and waits for a completion: until then, TIMERS_NEVER for ever, the past not at all. */
int watches_wait(struct loop_watches *watches, uint64_t until_ns) MUST_CHECK;

/* Completions to be run. */
unsigned watches_ready(const struct loop_watches *watches);
/* Takes one; whether a callback was called for it. */
bool watches_run_one(struct loop_watches *watches);

#endif
