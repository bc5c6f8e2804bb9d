/*
 * Looking at memory that has been adopted: pages that are there already are found in
 * /proc/self/pagemap and enter the eviction order in the order of their addresses. Done in small
 * steps, because the program goes on allocating meanwhile and that must be seen in time. Control
 * thread.
 */
#ifndef PAGER_LOOK_H
#define PAGER_LOOK_H

#include "pager/engine.h"

struct looker;

int look_open(struct engine *engine, struct looker **out) MUST_CHECK;

/* Has a range looked at by the steps to come. What is in no region by then is passed over. */
void look_add(struct looker *looker, uint64_t start, uint64_t end);

/* Looks until the clock says `until_ns`, a chunk at least. Returns whether there is more to see. */
bool look_step(struct looker *looker, uint64_t until_ns);

/*
 * Whether pages were passed over since the last call, because the program might just have been
 * dropping them: it is worth looking again.
 */
bool look_passed_over(struct looker *looker);

#endif
