/*
 * The staging area: pages that were taken out of the program and are still here, a ring in the
 * order in which they left. A page enters by UFFDIO_MOVE at the head, is looked at and written to
 * the store, lingers (that is its second chance: an access moves it back), and is dropped at the
 * tail.
 *
 *         tail                                                  head
 *          │  KEPT  DEAD  KEPT  KEPT  WRITING  WRITING  BUSY  BUSY │
 *
 *   BUSY     whoever takes out reads it: copy it, do not move it
 *   WRITING  its content is in a buffer on the way to the store; the page may be moved back
 *   KEPT     its content is in the store, or one repeated word: it may be dropped
 *   DEAD     no page of the program refers to it any more
 *
 * The area is registered with the program's own userfaultfd, so that UFFDIO_MOVE into it fails with
 * EAGAIN while a change of the map waits to be read: nothing can be taken out of a mapping that the
 * program has just replaced. That descriptor would also report MADV_DONTNEED here to ourselves;
 * therefore pages are dropped by moving them on into a second area, of a second descriptor without
 * events, and dropping them there. Costs 0.1 us a page (docs/uffd.md).
 *
 * Without UFFDIO_MOVE (remap.h) the area is nothing but reserved addresses. Runs come as mappings
 * that are registered, since the program's were; they are dropped by unregistering and reserving
 * their addresses anew. There is no second area.
 *
 * Guarded by the engine's map lock, but for stage_drop(), which whoever holds the take lock calls
 * without; what is left in the area is that one's business alone.
 */
#ifndef PAGER_STAGE_H
#define PAGER_STAGE_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum stage_phase { STAGE_DEAD, STAGE_BUSY, STAGE_WRITING, STAGE_KEPT };

#define STAGE_DROP_PAGES 512u /* at once; the size of the second area */

struct stage {
	uint64_t base;	/* of `pages` pages */
	uint64_t trash; /* of STAGE_DROP_PAGES pages, behind it */
	uint32_t pages;
	uint64_t head, tail; /* count up; place = number modulo pages */
	uint32_t *ids;	     /* page numbers, by place */
	uint64_t *came_from; /* addresses, by place; also after the page is no longer here */
	uint8_t *phases;     /* enum stage_phase, by place */
	uint8_t *left;	     /* by place: a page is left there that could not be dropped */
	uint32_t left_count;
	int uffd, trash_uffd; /* owned by the engine */

	/* Without UFFDIO_MOVE: */
	bool remaps;
	uint8_t *mapping_begins;       /* by place */
	uint32_t mappings;	       /* in the area now */
	uint64_t lost_start, lost_end; /* addresses that the program's mappings have got */
	int maps_fd;		       /* as for maps_find() */
	char *maps;
};

/* trash_uffd -1: without UFFDIO_MOVE. */
int stage_open(struct stage *stage, uint32_t pages, int uffd, int trash_uffd) MUST_CHECK;
void stage_close(struct stage *stage);

static inline uint64_t stage_address(const struct stage *stage, uint32_t place)
{
	return stage->base + ((uint64_t)place << PAGE_SHIFT);
}

static inline uint32_t stage_place(const struct stage *stage, uint64_t number)
{
	return (uint32_t)(number % stage->pages);
}

/* Places in use, from the oldest to the newest. */
static inline uint64_t stage_level(const struct stage *stage)
{
	return stage->head - stage->tail;
}

/* A run has come as a mapping of its own, from `place` on. */
void stage_note_mapping(struct stage *stage, uint32_t place);

/*
 * Places to which a move has failed are reserved again. They may be without any mapping now; if the
 * program has got one there meanwhile, which takes a bad moment, then the area has no room for
 * anything from now on. in_part: some may hold what was moved before the rest was refused, which is
 * dropped. Then the last one has never been without a mapping.
 */
void stage_reserve_again(struct stage *stage, uint32_t place, uint32_t n, bool in_part);

/* What is mapped at such places is nobody's: they are reserved again. */
void stage_discard(struct stage *stage, uint32_t place, uint32_t n);

/*
 * How many places, up to n, can be filled from the head on without a break in their addresses, and
 * without one where a page was left.
 */
uint32_t stage_room(const struct stage *stage, uint32_t n);

/* Passes over places at the head where a page was left: they are dropped once more at the tail. */
void stage_pass_over_left(struct stage *stage);

/* Whether an address belongs to the area. */
bool stage_contains(const struct stage *stage, uint64_t address);

/* Of all that is mapped. */
static inline size_t stage_bytes(const struct stage *stage)
{
	return (stage->pages + (stage->remaps ? 0 : STAGE_DROP_PAGES)) * PAGE_BYTES;
}

/*
 * mlockall(2) locks both areas (locked.h): these make them unlocked, or locked where they are
 * touched, so that the kernel does not go on filling them. The latter needs the right to do so.
 */
void stage_unlock(const struct stage *stage);
int stage_lock_when_touched(const struct stage *stage) MUST_CHECK;

/* Drops the page that is in the way at the head. What cannot be dropped is left. */
void stage_clear_head(struct stage *stage);

/*
 * Frees `count` places from `tail` on, which are all DEAD: their memory is dropped. Does not take
 * the lock; the places are free for the head once the caller has advanced tail.
 */
void stage_drop(struct stage *stage, uint64_t tail, uint32_t count);

#endif
