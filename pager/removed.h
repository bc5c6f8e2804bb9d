/*
 * Ranges that the program has dropped a moment ago (madvise). The kernel reports MADV_DONTNEED
 * before it drops the pages, so for a moment they are still there; a look at the pagemap must pass
 * over them, or a page could be entered, taken out and come back after it was dropped. Pure; under
 * map_lock.
 */
#ifndef PAGER_REMOVED_H
#define PAGER_REMOVED_H

#include <stdbool.h>
#include <stdint.h>

#define REMOVED_ROOM 256u
/* No thread is kept from the CPU in mid-madvise for so long; generous. */
#define REMOVED_FRESH_NS 1000000000u

struct removed {
	struct {
		uint64_t start, end, ns;
	} ranges[REMOVED_ROOM];
	uint32_t next;
	uint64_t lost_ns; /* when a range that was still fresh was overwritten last */
};

void removed_note(struct removed *removed, uint64_t start, uint64_t end, uint64_t now_ns);

/* Whether some page of [start, end) may be on its way out. */
bool removed_touches(const struct removed *removed, uint64_t start, uint64_t end, uint64_t now_ns);

#endif
