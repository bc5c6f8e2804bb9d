/*
 * The RAM that donord lends, as slabs that exist only while they are lent, and a few spare ones
 * while there are clients: an idle donor uses none. A worker thread makes and destroys them,
 * because zeroing tens of MiB takes milliseconds that the loop owes to its clients.
 *
 *   (nothing) ──worker makes──▶ ready ──take──▶ lent ──give──▶ dropped ──worker destroys──▶
 * (nothing)
 *
 * All functions are for one thread, the loop's; only the worker runs beside it.
 */
#ifndef DONOR_ARENA_H
#define DONOR_ARENA_H

#include "common/base/compiler.h"
#include "donor/slab.h"

#include <stdint.h>

struct arena;

/* Starts the worker. It inherits the signal mask: block first what the loop wants. */
int arena_open(const struct slab_kind *kind, unsigned slabs, struct arena **out) MUST_CHECK;
/* Slabs that are lent must have been given back. NULL is allowed. */
void arena_close(struct arena *arena);

/* Readable when a slab became ready or it turned out that none will: arena_take() again. */
int arena_fd(const struct arena *arena);
/* Makes it unreadable. */
void arena_fd_clear(struct arena *arena);

/*
 * A slab full of zeros, the caller's until arena_give(). -EAGAIN: being prepared, arena_fd() tells.
 * -ENOSPC: all are lent. -ENOMEM: the host has no memory to spare for another one.
 */
int arena_take(struct arena *arena, struct slab **out) MUST_CHECK;
/* Nobody touches the slab any more: it is destroyed soon. */
void arena_give(struct arena *arena, struct slab *slab);

/*
 * How many slabs the callers of arena_take() wait for, and how many to keep ready beyond those. A
 * higher want is a new try after -ENOMEM.
 */
void arena_want(struct arena *arena, unsigned waited_for, unsigned spare);

/* Slabs in all, and those neither lent nor still to be destroyed. */
unsigned arena_slabs(const struct arena *arena);
unsigned arena_slabs_free(struct arena *arena);

#endif
