/*
 * The table of leases: which slab is lent to whom, and until when. Pure: no clock, no sockets, no
 * memory of slabs; the caller says what time it is and what a lease stands for. One thread.
 *
 *   grant ──▶ held ──▶ taken back: returned by the holder, its holder gone, or expired
 *              │ ▲
 *              └─┘ renewed: all leases of a holder, for the full time again
 *
 * What is lent may have several leases, each with a holder of its own: after a fork parent and
 * child read the same slab. It is free when the last of them has ended. When all but one have, that
 * one's holder is told, once (lease_table_take_news()): it may write there again.
 *
 * Every lease lasts equally long, so the table is a queue in order of deadline: a grant or renewal
 * goes to the end, expiry looks at the front only.
 */
#ifndef DONOR_LEASE_H
#define DONOR_LEASE_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct lease_table;

/* One per client, embedded in what the caller keeps about it. */
struct lease_holder {
	LIST_HEAD(, lease) leases;
	unsigned count;
	LIST_HEAD(, lease) news; /* of its leases, those that are alone now, and it does not know */
};

/* One per thing that can be lent, embedded in it. Zeros at first. */
struct lease_object {
	LIST_HEAD(, lease) leases;
	unsigned count;
};

struct lease {
	uint64_t key; /* never used twice by a table */
	struct lease_holder *holder;
	struct lease_object *object;
	uint64_t deadline_ns;
	uint32_t shares; /* how many others were made from it */
	bool is_news;	 /* it is the object's only one again: in its holder's list */
	TAILQ_ENTRY(lease) by_deadline;
	LIST_ENTRY(lease) of_holder;
	LIST_ENTRY(lease) of_news;
	LIST_ENTRY(lease) of_object;
	LIST_ENTRY(lease) of_bucket;
};

/*
 * A table of up to `objects` things that are lent, and up to `shares` leases beyond one for each,
 * all lasting duration_ns. Keys count up from first_key: random, so that a key of an earlier donord
 * means nothing to this one. -ENOMEM.
 */
int lease_table_open(unsigned objects, unsigned shares, uint64_t duration_ns, uint64_t first_key,
		     struct lease_table **out) MUST_CHECK;
/* Leases that are left go with it. NULL is allowed. */
void lease_table_close(struct lease_table *table);

void lease_holder_init(struct lease_holder *holder);

/* Lends what has no lease. The lease is the table's. -ENOSPC when so many `objects` are lent. */
int lease_table_grant(struct lease_table *table, struct lease_holder *holder,
		      struct lease_object *object, uint64_t now_ns, struct lease **out) MUST_CHECK;

/* The same of what `from` lends. -ENOSPC when there are so many `shares`. */
int lease_table_share(struct lease_table *table, struct lease *from, struct lease_holder *holder,
		      uint64_t now_ns, struct lease **out) MUST_CHECK;

/* A lease of the holder that has become the only one, and that it does not know of; or NULL. */
struct lease *lease_table_take_news(struct lease_holder *holder);

/* The holder lives: all its leases last the full time from now on. */
void lease_table_renew(struct lease_table *table, struct lease_holder *holder, uint64_t now_ns);

/* The holder's lease of that key; NULL if it is over, unknown, or somebody else's. */
struct lease *lease_table_find(const struct lease_table *table, const struct lease_holder *holder,
			       uint64_t key);

/* The lease whose time is over for longest; NULL if there is none. It stays until ended. */
struct lease *lease_table_expired(const struct lease_table *table, uint64_t now_ns);

/* Ends the lease. Returns what was lent if nobody else has it, or NULL. `lease` is gone afterwards.
 */
struct lease_object *lease_table_end(struct lease_table *table, struct lease *lease);

/* Leases held now. */
unsigned lease_table_count(const struct lease_table *table);

#endif
