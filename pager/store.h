/*
 * The store turns "keep these pages" into slots on donors and reads them back: donors, leases,
 * data connections, and the book of which slots are free. Plain for now: one copy of each page.
 *
 * Threads: the control thread opens the store and calls store_attend(), the care thread calls
 * store_care(). The fault thread owns the lane STORE_READS, the take-out thread the lane
 * STORE_WRITES; each calls the lane functions for its own lane only. store_slots_take() and
 * store_slot_give() may be called from both; they take the store's own short lock (never held
 * across a system call). Nothing but store_open(), store_attend(), store_care() and store_close()
 * allocates or blocks; and what serves a page that is out may depend on nothing but store_care(),
 * which touches no memory outside own.h while a connection is to be replaced. Who has no other
 * threads calls store_tick().
 *
 * A slot is 32 bits: slab number << STORE_SLAB_SHIFT | page within the slab.
 */
#ifndef PAGER_STORE_H
#define PAGER_STORE_H

#include "pager/config.h"
#include "pager/stats.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define STORE_SLAB_SHIFT 14 /* pages in the largest slab, 64 MiB */
#define STORE_MAX_SLABS \
	(1u << 17) /* 2 TiB of 16 MiB slabs; all books are sized by what is leased */
#define STORE_NO_SLOT UINT32_MAX
#define STORE_MAX_RUN 64u /* slots of one read or write */

struct store;

enum store_lane { STORE_READS, STORE_WRITES, STORE_LANES };

/* What the store tells its owner. Copied by store_open(). */
struct store_events {
	/*
	 * A donor is gone with everything in its slabs (connection lost, lease over): once for each
	 * time it goes, on the care thread. `why` is one clause, "connection
	 * reset by peer". Slots there are dead from now on: store_slot_alive() says so. The store
	 * does not log it: only the owner knows how many pages were there.
	 */
	void (*lost)(void *arg, const char *donor, const char *why);
	/*
	 * store_attend() or store_care() has something to do at once: a lane found a connection
	 * broken, a donor that was away is to be tried or has answered. Called on any thread, the
	 * lanes' owners included, so it must do no more than wake the two. May be NULL: then it
	 * waits for their next turn.
	 */
	void (*wake)(void *arg);
	void *arg;
};

/*
 * Connects to the donors of the configuration, all at once, waiting at most timeout_ms, and opens
 * lanes to those that answer. Logs one line per donor that does not, with the cause.
 * Returns 0 if at least one answered, with its first slots at hand; -EHOSTUNREACH if none did:
 * store_care() goes on trying every two seconds when `out` is kept. All other errors (-ENOMEM,
 * -EMFILE) leave `out` unset.
 */
int store_open(const struct config *config, const struct store_events *events, unsigned timeout_ms,
	       struct store **out) MUST_CHECK;

/*
 * Says goodbye: the donors have their slabs back at once. The lanes' owners must have stopped. Does
 * not wait: if the C library is still looking up a donor's name, the store's memory is left to it.
 */
void store_close(struct store *store);

/*
 * Renews leases, leases slabs ahead of need, returns empty ones, retries donors that are away,
 * notices dead ones, replaces connections. Returns for how long nothing more is to be done, in ns,
 * unless events.wake is called: 50 ms at most.
 */
uint64_t store_care(struct store *store);

/*
 * Control thread, after events.wake, or every few ms: makes and joins the threads that store_care()
 * needs to reach donors. That reads memory of the program's.
 */
void store_attend(struct store *store);

/* Both, on the thread that opened the store. */
void store_tick(struct store *store);

/* Makes [base, bytes) usable as buffers of reads and writes (verbs needs it). Before any of those.
 */
int store_register(struct store *store, void *base, size_t bytes) MUST_CHECK;

/* Hands out up to n free slots, in runs as long as there are, donors in turn. Returns how many. */
unsigned store_slots_take(struct store *store, unsigned n, uint32_t *slots) MUST_CHECK;
/*
 * A slot is given when no io on it is in flight any more: its slab may go back to the donor then.
 * Slots that died with their donor should be given too if the program goes on.
 */
void store_slot_give(struct store *store, uint32_t slot);
bool store_slot_alive(const struct store *store, uint32_t slot);

/* Free slots at hand now; and whether the donors have said that there will be no more for now. */
uint64_t store_slots_free(const struct store *store);
bool store_is_full(const struct store *store);

/* Donor that holds the slot, for messages. */
const char *store_slot_donor(const struct store *store, uint32_t slot);

struct store_io {
	uint32_t slot;	/* first of `count` consecutive slots of one slab */
	uint32_t count; /* 1 to STORE_MAX_RUN */
	void *buffer;	/* count pages, registered; the store's until the completion */
	uint64_t cookie;
};

/* Makes the request one slot longer, if that is the next one of its slab and it may be so long. */
static inline bool store_io_extend(struct store_io *io, uint32_t slot)
{
	if (slot != io->slot + io->count || io->count == STORE_MAX_RUN ||
	    slot >> STORE_SLAB_SHIFT != io->slot >> STORE_SLAB_SHIFT)
		return false;
	io->count++;
	return true;
}

struct store_done {
	uint64_t cookie;
	int status; /* 0; -EIO, -ECONNRESET, … : nothing is known of the buffer */
};

/* STORE_READS reads, STORE_WRITES writes. Returns how many, from the first on, were accepted. */
unsigned store_post(struct store *store, enum store_lane lane, const struct store_io *ios,
		    unsigned n) MUST_CHECK;

/* Up to max completions; never blocks. Every accepted io completes exactly once. */
unsigned store_poll(struct store *store, enum store_lane lane, struct store_done *out,
		    unsigned max) MUST_CHECK;

/* Most descriptors that store_arm() ever fills. */
#define STORE_LANE_FDS (CONFIG_MAX_DONORS + 1)

/*
 * Before sleeping: fills up to `max` descriptors to wait for and returns how many, or -EAGAIN if
 * there is something to poll now. They end the sleep too when a donor is given up. Sleep a second
 * at most: a donor that is there but silent is noticed by store_poll() alone.
 */
int store_arm(struct store *store, enum store_lane lane, struct pollfd *fds,
	      unsigned max) MUST_CHECK;

/* Fills the donors' part of the statistics. Care thread. */
void store_stats(const struct store *store, struct stats_page *out);

#endif
