/*
 * How much may stay resident, and what to do about it: pure arithmetic on pages.
 *
 *   0        low             high  budget          hard
 *   ├─────────┼───────────────┼─────┼───────────────┤
 *        stop │   take out    │start                │ faults wait until there is room
 */
#ifndef PAGER_BUDGET_H
#define PAGER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/* Atomic, for it may change while it is looked at; the marks need not be of one moment. */
struct budget {
	_Atomic uint64_t pages; /* what the user said */
	_Atomic uint64_t low, high, hard;
	_Atomic uint64_t near;	 /* from here on the engine makes ready: donors, threads */
	_Atomic uint64_t adopt;	 /* from here on memory is adopted */
	_Atomic uint32_t staged; /* pages that linger in the staging area */
	uint32_t most_staged;	 /* memory has been set aside for so many */
	bool is_limit;		 /* who exceeds it is killed: ready and adopted sooner */
};

struct budget budget_of(uint64_t bytes);

/* From now on exceeding it is deadly. */
void budget_make_limit(struct budget *budget);

/* Changes it while others look; `staged` never to more than at first. */
void budget_change(struct budget *budget, uint64_t bytes);

/*
 * The largest budget with which a process stays within `bytes`, all in all: its bound
 * (docs/design.md) and what the engine itself needs. 0 if there is none.
 */
uint64_t budget_within(uint64_t bytes);

/*
 * How long the watcher may sleep, in ns, with `used` pages resident: until the fastest program
 * could have used up what is left to `mark`, within [1 ms, longest].
 */
uint64_t budget_pause(uint64_t used, uint64_t mark, uint64_t longest_ns);

#endif
