/*
 * Threads that end. The kernel then clears a word of the C library's and wakes who waits for it in
 * pthread_join(3) (CLONE_CHILD_CLEARTID, set_tid_address(2)). Unlike other accesses this one does
 * not wait for a page that is out, which has been left in just that moment: the word would stay,
 * or be cleared and nobody woken, and who waits would wait for ever. Here it is done in the
 * kernel's stead.
 *
 * Which words those are the kernel tells only of the calling thread. But the C library keeps, some
 * bytes behind, the head of the thread's list of robust mutexes, which can be asked for of any
 * thread (get_robust_list(2)), and recognised: an empty list points to itself. So each page that
 * leaves is searched for one, while it is read anyway; the thread is noted, and looked after until
 * it is gone.
 *
 * A C library that has it otherwise is not helped by this. What the kernel does with a list that is
 * not empty is another matter: see docs/uffd.md.
 */
#ifndef PAGER_EXITS_H
#define PAGER_EXITS_H

#include "common/base/compiler.h"
#include "common/base/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A word with the number of its thread. */
struct exits_word {
	uint64_t address;
	uint32_t tid; /* 0: nothing here */
};

/* Instead of a number: the word has been cleared, and somebody may still wait. */
#define EXITS_CLEARED UINT32_MAX

struct exits {
	uint32_t before_head; /* bytes from the word to the list's head; 0: nothing is looked for */
	uint32_t head_at;     /* of the head, within 64 bytes */
	uint64_t futex_offset; /* what follows the head */
	struct lock lock;      /* guards the list */
	struct exits_word *list;
	_Atomic uint32_t count; /* may be read without the lock */
	uint64_t next_ns;	/* of the next look; control thread */
};

/* Learns what it looks like from the calling thread, one of the C library's. */
int exits_open(struct exits *exits) MUST_CHECK;

/*
 * Where in a page that has this address such a word may be, with its thread or EXITS_CLEARED; false
 * if there is none. Changes nothing.
 */
bool exits_find(const struct exits *exits, const void *page, uint64_t address, uint32_t *word_at,
		uint32_t *tid);

/* Looks after it from now on. Any thread of the engine; fit for the fault path. */
void exits_note(struct exits *exits, uint64_t address, uint32_t tid);

/*
 * Does for threads that have ended since what the kernel may have left out. Returns for how long it
 * need not be called, in ns. status_fd: of maps_open_status(). Control thread: it may wait for
 * pages of the program.
 */
uint64_t exits_turn(struct exits *exits, int status_fd, uint64_t now);

#endif
