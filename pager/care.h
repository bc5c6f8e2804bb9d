/*
 * The thread that looks after the donors: leases, heartbeats, connections that fail. Whoever waits
 * for a page that is out may wait for this thread, so it touches nothing of the program's memory,
 * and leaves to the control thread what cannot be done without.
 */
#ifndef PAGER_CARE_H
#define PAGER_CARE_H

#include "pager/engine.h"

/* Starts the thread, which waits for the phase to become ACTIVE. */
int care_start(struct engine *engine) MUST_CHECK;

#endif
