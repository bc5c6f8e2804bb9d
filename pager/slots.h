/*
 * The book of free slots: one bit a slot, slab by slab, in memory of the engine's own. Knows donors
 * as numbers and nothing of connections.
 *
 * A slab's life:
 *
 *   slots_prepare() ──▶ prepared ── slots_publish() ──▶ lent ── slots_retire() ──▶ retired
 *                          │                             │ slots_kill()               │
 *                     slots_forget()                     ▼                       slots_forget()
 *                          ▼                           dead ── last slot given ──▶    ▼
 *                        free ◀─────────────────────────────────────────────────────free
 *
 * A dead slab keeps its number until all its slots have been given back, so that a slot that
 * somebody still remembers can never mean a page of another slab.
 *
 * Threads: slots_take(), slots_give() and everything that only asks may be called on any thread, at
 * any time; they allocate nothing and take one short lock, never held across a system call. The
 * rest is for the care thread.
 */
#ifndef PAGER_SLOTS_H
#define PAGER_SLOTS_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define SLOTS_MAX_DONORS 64

/*
 * Slots that one donor gives before it is the next one's turn: large enough to leave in one write
 * and come back in one read, small enough to spread over all donors within a slab.
 */
#define SLOTS_TURN 64

struct slots;

int slots_open(struct slots **out) MUST_CHECK;
void slots_close(struct slots *slots);

/*
 * Sets a number aside for a slab of `pages` (at most 1 << STORE_SLAB_SHIFT) lent by `donor`.
 * -ENOMEM, or -ENOSPC when there are STORE_MAX_SLABS.
 */
int slots_prepare(struct slots *slots, unsigned donor, uint32_t pages, uint32_t *slab) MUST_CHECK;
/* From now on its slots are handed out. */
void slots_publish(struct slots *slots, uint32_t slab);
/* Takes a slab of the donor of which no slot is in use out of the book. -ENOENT: there is none. */
int slots_retire(struct slots *slots, unsigned donor, uint32_t *slab) MUST_CHECK;
/* The number of a prepared or retired slab may be used again. */
void slots_forget(struct slots *slots, uint32_t slab);
/* The donor is gone: its slabs are dead. */
void slots_kill(struct slots *slots, unsigned donor);

/*
 * Hands out up to n free slots: ascending within a slab, runs as long as there are, SLOTS_TURN from
 * each donor in turn. A donor goes on in its current slab to the end, then in one of those with
 * the most free slots. Returns how many.
 */
unsigned slots_take(struct slots *slots, unsigned n, uint32_t *out) MUST_CHECK;
/* A slot that was taken is free again. Of a dead slab: may be told or not. */
void slots_give(struct slots *slots, uint32_t slot);

/* Whether the slab of the slot is lent. False for every number that is none. */
bool slots_is_alive(const struct slots *slots, uint32_t slot);
/* Pages of the slot's slab, and who lent it; of a slot that was handed out. */
uint32_t slots_pages(const struct slots *slots, uint32_t slot);
unsigned slots_donor(const struct slots *slots, uint32_t slot);

/* Free now, in all and of one donor; slabs lent by it; slots ever taken (only grows). */
uint64_t slots_free(const struct slots *slots);
uint64_t slots_free_of(const struct slots *slots, unsigned donor);
uint32_t slots_slabs_of(const struct slots *slots, unsigned donor);
uint64_t slots_taken(const struct slots *slots);

#endif
