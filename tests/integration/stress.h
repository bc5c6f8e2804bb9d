/*
 * prog_stress: everything that programs do with memory, at random from a seed, in several processes
 * and threads, with a shadow that says what each page must hold.
 *
 *   prog_stress MIB SECONDS SEED [PROCESSES THREADS]
 *
 * Memory is in areas, each owned by one worker (a thread), which alone changes and checks it. Its
 * steps follow from the seed and from nothing else, so that a seed does the same again; only how
 * the workers' steps interleave does not. Even seeds fork often, odd ones seldom. What is wrong
 * ends the program with one line that names seed, process, worker, step and operation.
 *
 * A page's shadow is the number of the write that it holds. No two writes have the same, not even
 * in different processes, so a page in another's place, or an old one, is seen as well as a lost
 * one.
 */
#ifndef TESTS_INTEGRATION_STRESS_H
#define TESTS_INTEGRATION_STRESS_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STRESS_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define STRESS_AREAS 48u
#define STRESS_BLOCKS 32u
#define STRESS_RUN_PAGES 256u /* what most operations take at most */

/* In a shadow: after MADV_FREE a page is as it was, or zeros, until it is written. */
#define STRESS_FREED (UINT64_C(1) << 63)

struct area {
	uint64_t *at;
	size_t pages;
	uint64_t *shadow; /* by page: the number of its last write; 0 is zeros */
	bool is_split;	  /* several mappings to the kernel: mremap(2) refuses */
};

struct run {
	struct area *area;
	size_t first, pages;
};

struct block { /* of malloc(3) */
	uint64_t *at;
	size_t words;
	uint64_t number; /* of its write */
};

struct worker {
	uint64_t random; /* state */
	uint32_t id;	 /* in the numbers of all writes, below 1 << 31; a child has another */
	uint64_t writes;
	struct area areas[STRESS_AREAS];
	unsigned area_count;
	size_t pages, max_pages; /* of all areas */
	struct block blocks[STRESS_BLOCKS];
	unsigned depth;	 /* of forks */
	pid_t child;	 /* that is to be waited for, or 0 */
	bool is_program; /* the child is another program: it may be refused to start */
	int pipe_fds[2], socket_fds[2], file_fd;

	/* What is said when something is wrong. */
	unsigned process, number;
	uint64_t step;
	const char *operation;
	uint64_t checks, forks, refused, not_started;
	bool forks_seldom; /* else everything is brought home all the time */
};

struct operation {
	const char *name;
	void (*run)(struct worker *worker);
	unsigned share;
};

/* The worker that this thread is. */
extern __thread struct worker *stress_self;

/* Ends the program with a line that also says who, when and with what seed. */
NORETURN PRINTF_LIKE(1, 2) void stress_fail(const char *fmt, ...);
void stress_must(bool is_so, const char *what);

/* ---- numbers ---- */

/* Below `limit`, which is not 0. */
size_t stress_below(struct worker *worker, size_t limit);
bool stress_one_in(struct worker *worker, unsigned n);
/* From 1 on; small ones as often as large ones. */
size_t stress_size(struct worker *worker, size_t max);

/* ---- stress_area.c: what belongs where ---- */

uint64_t stress_word(uint64_t number, size_t word);
uint64_t stress_number(struct worker *worker); /* of a new write */

static inline uint64_t *area_page(const struct area *area, size_t page)
{
	return area->at + page * STRESS_WORDS;
}

static inline uint64_t *run_start(struct run run)
{
	return area_page(run.area, run.first);
}

void page_put(struct worker *worker, struct area *area, size_t page);
void page_look(struct worker *worker, const struct area *area, size_t page);
/* A copy of the page. */
void page_compare(struct worker *worker, const struct area *area, size_t page,
		  const uint64_t *copy);
void run_put(struct worker *worker, struct run run);
void run_look(struct worker *worker, struct run run);
void run_zero(struct run run); /* in the shadow only */
void areas_look(struct worker *worker);

/* Any of them; if there is none, a new one. */
struct area *area_pick(struct worker *worker);
size_t page_pick(struct worker *worker, const struct area *area);
/* At most `max` pages of the area, or of any area. */
struct run run_of(struct worker *worker, struct area *area, size_t max);
struct run run_pick(struct worker *worker, size_t max);
/* NULL without room for it. The shadow is zeros. */
struct area *area_add(struct worker *worker, void *at, size_t pages);
/* No more in the books; the mapping is the caller's business. */
void area_forget(struct worker *worker, struct area *area);
/* Other pages at the end: what is new is zeros. */
void area_resize(struct worker *worker, struct area *area, void *at, size_t pages);

/* ---- the operations ---- */

/* stress_map.c: the one that every worker starts with. */
void stress_map_area(struct worker *worker);

extern const struct operation stress_plain[], stress_map[], stress_advice[], stress_kernel[],
	stress_process[];

/* One of all of them. */
void stress_step(struct worker *worker);

/* Descriptors that no other process uses. */
void stress_open(struct worker *worker);

/* Waits for the child there is, if any. */
void stress_wait(struct worker *worker);

/* Once, before all: the handler that opens what an operation has closed on purpose. */
void stress_catch_faults(void);

#endif
