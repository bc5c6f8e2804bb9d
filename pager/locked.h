/*
 * mlockall(2). The kernel locks all mappings at once, the engine's areas (stage.h) among them, and
 * then brings in whatever is missing in them, one fault after the other. What is out of the program
 * comes home by that. But
 *
 * - an area that is locked, like the program's memory, lets locked pages be taken out, and no
 * others: it is unlocked again, and what has left meanwhile is brought home;
 * - what is missing in the areas belongs nowhere: the kernel is made to pass over them, by locking
 *   them only where they are touched (mlock2(2)) until it has gone by.
 *
 * With MCL_ONFAULT nothing is brought in, and the areas are unlocked a second later at the latest.
 */
#ifndef PAGER_LOCKED_H
#define PAGER_LOCKED_H

#include "common/base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;

/* Zeroed at start. */
struct locked {
	_Atomic uint64_t
		passed_ns;    /* when somebody was last let pass; 0: not since the unlocking */
	_Atomic bool recalls; /* everything is to come, zeros too; written by control */

	/* owner: control thread */
	uint64_t look_ns;  /* when to look at how much is locked */
	uint64_t seen_kib; /* how much there was */
	uint32_t turn;	   /* of the recall */
};

/*
 * A thread that is none of the engine's waits for a page of an area, of this userfaultfd: lets it
 * go on. If it is not mlockall(2), then somebody reads through all of the memory
 * (process_vm_readv(2)) and gets zeros. Fault thread, or control thread.
 */
void locked_let_pass(struct engine *engine, int uffd, uint64_t address);

/* Does what is due. Returns for how long it need not be called, in ns. Control thread. */
uint64_t locked_turn(struct engine *engine, uint64_t now);

#endif
