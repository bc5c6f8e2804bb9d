/*
 * Taking pages out: the thread that keeps the resident memory within the budget. It moves the
 * oldest pages to the staging area, finds out what they hold (one word, nothing new, something
 * new), writes what is new to the store in large batches, and drops at the tail what is stored.
 */
#ifndef PAGER_TAKE_H
#define PAGER_TAKE_H

#include "pager/engine.h"

/* Starts the thread. Until the store is open it adopts memory, and takes nothing out. */
int take_start(struct engine *engine) MUST_CHECK;

/* Lends its buffers to the store, once that is open. */
int take_register(struct engine *engine) MUST_CHECK;

/* A page with a write on its way has a new number (mremap). Fault thread, under map_lock. */
void take_renumber(struct engine *engine, uint32_t from, uint32_t to);

#endif
