/*
 * Adoption: bringing the program's anonymous memory under the engine's care, after the program has
 * filled it and when the budget is nearly used up. Control thread.
 */
#ifndef PAGER_ADOPT_H
#define PAGER_ADOPT_H

#include "pager/engine.h"

int adopt_open(struct engine *engine) MUST_CHECK;

#define ADOPT_TURN_NS 1500000u /* what a turn takes at most, undisturbed */

/*
 * Looks for memory to adopt, for a millisecond or so. Cheap when the program has not grown since.
 * Returns whether there is more to do at once.
 */
bool adopt_turn(struct engine *engine, uint64_t size_pages);

/* Lets go of all that was adopted. Nothing is out, and nobody else adopts. */
void adopt_undo(struct engine *engine);

#endif
