/*
 * Before the process ends: what the engine owes to others when the program does, and how it goes
 * away while the program stays.
 */
#ifndef PAGER_ENDING_H
#define PAGER_ENDING_H

#include "pager/engine.h"

/* ---- threads of the program ---- */

/*
 * The program ends in order: others may have its part of the budget, and its statistics are
 * removed. The control thread does that, since the caller may have no right to any more
 * (seccomp(2), another root or user), and is waited for, 50 ms at most. Threads go on.
 */
void ending_goodbye(struct engine *engine);

/*
 * Asks the control thread to end, which it does while the program is small; then the engine has no
 * thread and nothing of the program's, and may be freed. Waits for the answer, a second at most.
 */
enum ending {
	ENDING_NOT,  /* it pages, or is about to: it stays */
	ENDING_SOON, /* the thread is on its way out */
	ENDING_WAS,  /* it had ended before: what is not paged needs none */
};
enum ending ending_withdraw(struct engine *engine) MUST_CHECK;

/* ---- the control thread ---- */

/* Answers what was asked for since the last turn. True: the thread must end now. */
bool ending_turn(struct engine *engine) MUST_CHECK;

/* It ends by itself, and nobody will answer any more: what is not paged has nothing to give up. */
void ending_without(struct engine *engine);

#endif
