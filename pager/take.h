/*
 * Taking pages out: what keeps the resident memory within the budget. It moves the
 * oldest pages to the staging area, finds out what they hold (one word, nothing new, something
 * new), writes what is new to the store in large batches, and drops at the tail what is stored.
 */
#ifndef PAGER_TAKE_H
#define PAGER_TAKE_H

#include "pager/engine.h"

/* Starts the thread. Until the store is open it adopts memory, and takes nothing out. */
int take_start(struct engine *engine) MUST_CHECK;

/*
 * Takes out a little, towards the mark `low`, unless the thread is at it just now; what has to be
 * written is left to it. Fault thread, after a fault: the page table is then changed where the
 * program is waiting or has just been woken, so that no other CPU is interrupted to forget a
 * translation (docs/performance.md). Bounded; keeps the rules of the fault path. Returns how much
 * was done.
 */
unsigned take_some(struct engine *engine);

#endif
