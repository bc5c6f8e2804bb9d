/*
 * What the files of the store share: store.c (open, close, tick), store_lease.c (slabs come and
 * go), store_lane.c (reads and writes). For those only.
 */
#ifndef PAGER_STORE_INTERNAL_H
#define PAGER_STORE_INTERNAL_H

#include "pager/link.h"
#include "pager/placement.h"
#include "pager/slots.h"
#include "pager/store.h"

#include <stdatomic.h>

/* Where a slab is: written by the care thread before its slots are handed out. */
struct place {
	struct tp_remote remote; /* as every connection of the donor is told */
	uint32_t handles[STORE_LANES];
	uint32_t before[STORE_LANES]; /* on the connections before these: store_lease_move() */
};

/* Ios that failed before they reached a connection. */
#define LANE_FAILED 256u

struct lane {
	int bell;			   /* eventfd in every sleep of the lane; constant */
	_Atomic bool is_rung;		   /* any thread sets, the lane clears */
	unsigned next;			   /* link to poll first; owner: lane, as all below */
	uint32_t failed_head, failed_tail; /* free running */
	struct store_done failed[LANE_FAILED];
};

struct store {
	struct store_events events; /* constant, as the next five */
	struct transports transports;
	struct connector connector;
	struct slots *slots;
	struct place *places; /* by slab number; STORE_MAX_SLABS, untouched until used */
	unsigned link_count;
	struct link *links[CONFIG_MAX_DONORS];
	struct lane lanes[STORE_LANES];
	_Atomic uint32_t nudges; /* futex: counts wake-ups, for store_open() */
	_Atomic bool is_full;	 /* written by the care thread */

	/* owner: care thread */
	struct placement_demand demand;
	uint64_t surplus_since_ns;  /* 0: there is none */
	uint64_t taken, changed_ns; /* slots ever taken, and when that was last another number */
};

/* Uses what a donor has granted; what cannot be used it has back. */
void store_lease_take(struct store *store, unsigned donor, const struct wire_grant *grant);

/* Attaches all slabs of the donor to new connections, and lets the lanes go on with those. */
void store_lease_move(struct store *store, unsigned donor, uint64_t now_ns);

/* Asks for slabs ahead of need, and gives back what has not been needed for a while. */
void store_lease_tick(struct store *store, uint64_t now_ns);

int lane_open(struct lane *lane) MUST_CHECK;
void lane_close(struct lane *lane);
/* Ends the lane's sleep. Care thread. */
void lane_ring(struct lane *lane);

#endif
