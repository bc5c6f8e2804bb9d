/*
 * Which pages will be wanted next: a pure function of the faults so far, kept per thread, because
 * the threads of a program walk different data. A thread has a few streams; a fault that continues
 * one widens its window, a fault that continues none begins one and asks for nothing ahead.
 *
 * The page behind a window stays out: touching it is the fault that asks for the next window. A
 * stream that has come to the widest one is so steady that the window behind is on its way
 * meanwhile: see fetch.c.
 */
#ifndef PAGER_STREAM_H
#define PAGER_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#define STREAM_MAX_WINDOW 32u /* pages; from 16 on the cost per page hardly falls */
#define STREAM_THREADS 64u
#define STREAM_PER_THREAD 4u

struct stream {
	uint64_t next;	 /* page number that continues it */
	int32_t step;	 /* +1 or -1; 0: one fault seen, direction unknown */
	uint32_t window; /* pages asked for at the last fault */
	uint32_t used;	 /* turn of the last use, to find the oldest */
};

struct stream_thread {
	uint32_t tid;
	uint32_t turn;
	struct stream streams[STREAM_PER_THREAD];
};

struct streams {
	uint32_t turn;
	uint32_t last_used[STREAM_THREADS];
	struct stream_thread threads[STREAM_THREADS];
};

/*
 * Pages [first, first + count) are worth fetching; `page` is one of them. Then `next` will be
 * wanted, with [next_first, next_first + count) around it; not worth it yet if `is_steady` is not
 * set.
 */
struct stream_advice {
	uint64_t first;
	uint32_t count;
	bool is_steady;
	uint64_t next, next_first;
};

/* Notes that thread `tid` wants `page` (a page number) and says what to fetch. */
struct stream_advice stream_advise(struct streams *streams, uint32_t tid, uint64_t page);

#endif
