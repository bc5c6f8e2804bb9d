/*
 * A thread that makes data connections anew while pages are out. Whoever waits for such a page
 * waits for this, so nothing here may touch the program's memory, where a page that is out may be
 * the one that is waited for: the thread is there before it is needed (the C library makes threads
 * out of the program's heap), runs on a stack of the engine's, and its attempts neither look up
 * names nor allocate. One for all donors: one after the other.
 */
#ifndef PAGER_CONNECTOR_H
#define PAGER_CONNECTOR_H

#include "common/base/compiler.h"
#include "pager/attempt.h"

#include <stdatomic.h>
#include <stdbool.h>

struct connector {
	_Atomic uint32_t bell; /* futex: counts what is new */
	_Atomic bool is_ending;
	_Atomic bool is_running;
	struct attempt *_Atomic jobs[CONFIG_MAX_DONORS];
};

/* Starts the thread unless it is running. May read memory of the program's. */
int connector_start(struct connector *connector) MUST_CHECK;
bool connector_is_running(const struct connector *connector);
/* Waits for the thread to end: for as long as the attempt may take that it is at. */
void connector_stop(struct connector *connector);

/* Carries the attempt out, of mode AGAIN: attempt_is_done() tells. One for each donor. */
void connector_submit(struct connector *connector, struct attempt *attempt);

#endif
