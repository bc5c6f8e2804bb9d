/*
 * Between the program's callers of mremap(3) and the engine, when it registers memory: any number
 * of callers are inside, or the engine has closed it. A caller in the kernel waits for the fault
 * thread only, which never waits here.
 *
 * Neither side waits for ever: a thread can be stopped inside, by a debugger. Then the other goes
 * on without, and all that is lost is the protection against what claim.h is about. And neither
 * keeps the other out by coming again and again: who closes lets those in first who wait.
 */
#ifndef PAGER_GATE_H
#define PAGER_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GATE_CLOSE_MS 50u  /* for those inside to leave */
#define GATE_ENTER_MS 500u /* for it to open */

/* All zero: open, and nobody is inside. */
struct gate {
	_Atomic uint32_t word;	  /* futex: how many are inside, and whether it is closed */
	_Atomic uint32_t waiting; /* to enter */
	bool is_stuck;		  /* somebody does not leave; owner: who closes */
};

/* A thread of the program, with its signals blocked: it must leave. */
void gate_enter(struct gate *gate);
void gate_leave(struct gate *gate);

/*
 * One thread of the engine at a time. Whether all have left; if not it may be open, and nobody is
 * waited for any more until they have.
 */
bool gate_close(struct gate *gate);
void gate_open(struct gate *gate);

#endif
