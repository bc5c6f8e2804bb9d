/*
 * Keeps the engine's budget what it may be: the limit of the control group changes (allowance.h),
 * and so does this process's part of a budget that several share (tree.h). Whoever watches the size
 * of the program (engine_watch()), but for the last one.
 */
#ifndef PAGER_FOLLOW_H
#define PAGER_FOLLOW_H

#include <stdint.h>

struct engine;

/* Before the first turn. What cannot be shared is said, and is this process's own. */
void follow_begin(struct engine *engine);

/* After each look at the size of the program. Returns in how many ns it has to be called again. */
uint64_t follow_turn(struct engine *engine, uint64_t now_ns);

/* The program ends in order: others may have what it had. Any thread. */
void follow_end(struct engine *engine);

#endif
