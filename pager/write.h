/*
 * What happens to pages that were taken out: finds out what they hold (one word, nothing new,
 * something new), gives what is new a slot and writes it to the store in large batches. Take-out
 * thread, but for what is said below.
 *
 * A batch passes from whoever looked to the take-out thread, which writes it.
 */
#ifndef PAGER_WRITE_H
#define PAGER_WRITE_H

#include "pager/engine.h"

#define WRITER_PAGES STORE_MAX_RUN /* of a batch */

struct writer;

/* Any thread, once. It stays until the process ends. */
int writer_open(struct engine *engine, struct writer **out) MUST_CHECK;

/* Lends its buffers to the store, once that is open. */
int writer_register(struct writer *writer) MUST_CHECK;

/*
 * Looks at the places [first, end) of the staging area, which are BUSY: at most WRITER_PAGES of
 * them, and only if there is room. What need not be written is KEPT afterwards; the rest is in a
 * batch. Whoever holds the take lock.
 */
void writer_look(struct writer *writer, uint64_t first, uint64_t end);
bool writer_has_room(const struct writer *writer);

/* Finds slots, posts writes, takes completions. Never waits. Returns how much was done. */
unsigned writer_turn(struct writer *writer);

/* Whether some batch is on its way (any thread); and whether one cannot go on for want of slots. */
bool writer_is_busy(const struct writer *writer);
bool writer_waits_for_slots(const struct writer *writer);

/*
 * Takes slots from resident pages, which keep them in case they leave unchanged; a part of the
 * address space at a time. Returns whether the end of it was reached.
 */
bool writer_reclaim(struct writer *writer);

/* A page with a write on its way has a new number (mremap). Fault thread, under map_lock. */
void writer_renumber(struct writer *writer, uint32_t from, uint32_t to);

#endif
