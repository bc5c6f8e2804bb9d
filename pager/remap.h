/*
 * Taking out without UFFDIO_MOVE, which Linux has had since 6.8. mremap(2) with MREMAP_DONTUNMAP
 * (5.7) moves the pages of a run into the staging area at once and without a copy, too, but
 *
 *   - it acts on whatever is mapped there, not on what is registered with us;
 *   - it is reported like one of the program's, and the caller waits until that has been read. So
 *     only the take-out thread may call it, without the map lock, and the program goes on
 * meanwhile;
 *   - it makes each run a mapping of its own, of which a process may have 65530;
 *   - it moves pages that are pinned, too. While any are pinned for long nothing is taken out;
 * those of a read with O_DIRECT cannot be told.
 *
 * So a run leaves in three steps. Why each is needed: docs/uffd.md.
 *
 *   begin   under the map lock: UFFDIO_WRITEPROTECT, which is tied to our registration and refused
 *           while a change of the map waits to be read; the pages are STAGED in the books
 *   move    without it: nobody can write to the run from begin on, and who faults there waits
 *   end     under it, when no change waits to be read: what really came is looked at
 *
 * Take-out thread, but for the last three functions. At most one run at a time.
 */
#ifndef PAGER_REMAP_H
#define PAGER_REMAP_H

#include "common/base/compiler.h"
#include "pager/uffd.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;

#define REMAP_MAX_PAGES 64u
/* Runs in the staging area at a time: the program's own mappings need room, too. */
#define REMAP_MAX_MAPPINGS 2048u

/* The run that is leaving. Under map_lock. */
struct remap {
	uint64_t source, bytes; /* bytes 0: none is */
	uint32_t place, pages;	/* in the staging area */
	bool arrived;		/* the kernel has reported it: the source was ours */
	bool over;		/* nothing of it is on its way any more: it waits for forks */
	bool overrun;		/* the program has moved something to the source meanwhile */
};

/*
 * Whether nothing may be taken out now, because memory is pinned: a device or the kernel writes to
 * pages that would not be the program's any more. Take-out thread, not under the lock.
 */
bool remap_must_stay(struct engine *engine) MUST_CHECK;

/*
 * Begins with the n resident pages from ids[0] on, which lie side by side; there is room for them
 * in the staging area. Under map_lock. 0; -EAGAIN: the map is changing; -EINVAL: not one mapping of
 * ours. Then nothing has happened.
 */
int remap_begin(struct engine *engine, const uint32_t *ids, uint32_t n) MUST_CHECK;

/*
 * Moves them, without the lock, and enters what became of them. 0; -EPERM: they are locked;
 * -EINVAL: the kernel will not, since some are locked, or they are in two mappings, or there are
 * too many of these; -EAGAIN: what is mapped there is another thing by now. Then those that are
 * still there are resident again, at the end of the order.
 */
int remap_finish(struct engine *engine) MUST_CHECK;

/* Whether a fault on this address must wait until a run has left. Under map_lock. */
bool remap_is_leaving(const struct remap *remap, uint64_t address);

/* Whether any of [start, end) is of that run. Under map_lock. */
bool remap_meets(const struct remap *remap, uint64_t start, uint64_t end);

/* Whether what belongs in this place of the staging area may still be on its way. Under map_lock.
 */
bool remap_is_coming(const struct remap *remap, uint32_t place);

/* Of such a place, when the run is not under way any more: whether it holds what it should. */
bool remap_has_come(const struct engine *engine, uint32_t place);

/*
 * Whether what a child has of the run cannot be known yet: a fork must wait. Afterwards, and while
 * remap_is_coming(), the child has what has not arrived. Under map_lock.
 */
bool remap_is_under_way(const struct remap *remap);

/* Takes note of a move that was read. True: it was the engine's own. Under map_lock. */
bool remap_note(struct engine *engine, const struct uffd_event *event);

#endif
