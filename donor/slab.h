/*
 * One slab: a memfd of its own, sealed against growing and shrinking, its memory there in full from
 * the start, mapped here. Made for one lease and destroyed after it, so that no lease ever sees
 * bytes of an earlier one. Both take milliseconds: for the arena's worker, not for the loop.
 */
#ifndef DONOR_SLAB_H
#define DONOR_SLAB_H

#include "common/base/compiler.h"
#include "donor/lease.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct slab {
	void *base;
	uint64_t bytes;
	int memfd;
	struct lease_object lent;
	STAILQ_ENTRY(slab) link; /* owner: whoever holds the slab */
};

struct slab_kind {
	uint64_t bytes; /* of each */
	bool huge;	/* of huge pages of HOST_HUGE_BYTES */
	int node;	/* NUMA node, or HOST_NO_NODE */
};

/* -ENOMEM the host has none to spare, or what the kernel says. */
int slab_make(const struct slab_kind *kind, struct slab **out) MUST_CHECK;

/*
 * Gives the memory back to the host, also what a client still maps: such a client reads zeros from
 * now on. NULL is allowed.
 */
void slab_destroy(struct slab *slab);

#endif
