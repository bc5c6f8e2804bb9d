/*
 * Which donor gives the next slab, how many are wanted, and when one may go back. Pure functions of
 * their arguments.
 */
#ifndef PAGER_PLACEMENT_H
#define PAGER_PLACEMENT_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* Slots kept free ahead of need whatever the demand: 64 MiB, some tens of ms of a fast network. */
#define PLACEMENT_AHEAD (UINT64_C(64) << (20 - PAGE_SHIFT))

/* Slabs that a donor lends us at least, so that a quiet program does not lease and return. */
#define PLACEMENT_KEEP 2

struct placement_donor {
	uint32_t slab_slots; /* slots of one of its slabs; 0: it is not there */
	uint32_t asked;	     /* slabs asked for and not yet granted */
	uint64_t free;	     /* slots at hand */
	uint64_t room;	     /* slabs it could lend, by its own word; asked ones among them */
};

/* How many slots were taken of late. Zeroed at start. */
struct placement_demand {
	uint64_t since_ns;   /* of the newest sample */
	uint64_t samples[4]; /* slots ever taken, newest first, 50 ms apart */
};

/*
 * Notes that `taken` slots have been taken in all, and returns how many of those in the last 200 ms
 * (longer if nobody has asked for longer).
 */
uint64_t placement_demand(struct placement_demand *demand, uint64_t now_ns, uint64_t taken);

/* Free slots that are wanted at hand when `recent` were taken in the last 200 ms. */
uint64_t placement_target(uint64_t recent);

/*
 * Raises `asked` of the donors until all together have `target` slots at hand or no donor has room.
 * A slab comes from whom we have the fewest free slots, so that all can give in turn.
 */
void placement_share(struct placement_donor *donors, unsigned n, uint64_t target);

/* Whether there is nothing at hand, nothing under way and nothing to be had. */
bool placement_is_full(const struct placement_donor *donors, unsigned n);

/*
 * The donor that should have a slab back: the one with most free slots, if what stays is twice the
 * target (so that the slab is not asked for again at once). `leased`: slabs we have of each.
 * Returns n if none should. A donor is passed over if tried[i].
 */
unsigned placement_surplus(const struct placement_donor *donors, const uint32_t *leased,
			   const bool *tried, unsigned n, uint64_t target);

#endif
