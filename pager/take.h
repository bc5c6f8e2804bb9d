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

#endif
