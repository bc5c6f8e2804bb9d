/*
 * How much may stay resident, and what to do about it: pure arithmetic on pages.
 *
 *   0        low             high  budget          hard
 *   ├─────────┼───────────────┼─────┼───────────────┤
 *        stop │   take out    │start                │ faults wait until there is room
 */
#ifndef PAGER_BUDGET_H
#define PAGER_BUDGET_H

#include <stdint.h>

struct budget {
	uint64_t pages; /* what the user said */
	uint64_t low, high, hard;
	uint64_t near;	 /* from here on the engine makes ready: donors, threads */
	uint64_t adopt;	 /* from here on memory is adopted */
	uint32_t staged; /* pages that linger in the staging area */
};

struct budget budget_of(uint64_t bytes);

/*
 * How long the watcher may sleep, in ns, with `used` pages resident: until the fastest program
 * could have used up what is left to `mark`, within [1 ms, longest].
 */
uint64_t budget_pause(uint64_t used, uint64_t mark, uint64_t longest_ns);

#endif
