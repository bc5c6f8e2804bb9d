/*
 * Pages that a fork has left shared copy-on-write, or that were shared until the child went: the
 * kernel moves only those that it knows to be exclusive (UFFDIO_MOVE fails with EBUSY). Writing
 * nothing to them makes them so (MADV_POPULATE_WRITE, madvise(2)).
 */
#ifndef PAGER_UNSHARE_H
#define PAGER_UNSHARE_H

#include <stdint.h>

struct engine;

#define UNSHARE_PAGES 64u

/* Zeroed at start. Under the take lock. */
struct unshare {
	uint64_t pages[UNSHARE_PAGES]; /* their addresses */
	uint32_t count;
};

/* One that was refused; those that there is no room for will be refused again. */
void unshare_note(struct unshare *unshare, uint64_t address);

/* Take-out thread, without map_lock: it may wait for the fault thread. */
void unshare_all(struct engine *engine, struct unshare *unshare);

#endif
