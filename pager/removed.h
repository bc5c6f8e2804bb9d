/*
 * Ranges that the program has dropped a moment ago (madvise). The kernel reports MADV_DONTNEED
 * before it drops the pages, so for a moment they are still there; a look at the pagemap must pass
 * over them, or a page could be entered, taken out and come back after it was dropped. A while
 * later they are worth a look: after MADV_FREE, which is reported in the same way, the program may
 * have written to pages that were still there, and no fault has told of it. Pure; under map_lock.
 */
#ifndef PAGER_REMOVED_H
#define PAGER_REMOVED_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define REMOVED_ROOM 4096u
/* No thread is kept from the CPU in mid-madvise for so long; generous. */
#define REMOVED_FRESH_NS 1000000000u

struct removed {
	struct {
		uint64_t start, end, ns;
	} ranges[REMOVED_ROOM]; /* ring, oldest first: [tail, head) */
	uint32_t head, tail;
	uint64_t lost_ns; /* when a range that was still fresh was overwritten last */
};

void removed_note(struct removed *removed, uint64_t start, uint64_t end, uint64_t now_ns);

/*
 * Which of the `pages` pages from `start` on may be on their way out: sets their bits in `bits`,
 * which is cleared first and has room for as many. Returns whether any is.
 */
bool removed_mark(const struct removed *removed, uint64_t start, unsigned pages, uint64_t now_ns,
		  uint8_t *bits);

/* Takes the oldest range from the list if it is not fresh any more. */
bool removed_take(struct removed *removed, uint64_t now_ns, uint64_t *start,
		  uint64_t *end) MUST_CHECK;

#endif
