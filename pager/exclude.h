/*
 * What must not be adopted because the engine itself stands on it: the staging area, the page of
 * own_mark(), and the data segments of libraries (ours and the C library's among them), which
 * adjoin anonymous memory and may be one mapping with it. One thread at a time.
 */
#ifndef PAGER_EXCLUDE_H
#define PAGER_EXCLUDE_H

#include "common/base/compiler.h"
#include "pager/regions.h"
#include "pager/stage.h"

#include <stdbool.h>
#include <stdint.h>

#define EXCLUDE_MAX 1024u

struct exclude {
	struct region list[EXCLUDE_MAX];
	unsigned count;
	bool main_seen;
};

/* Makes the list as it is now. */
void exclude_list(struct exclude *exclude, const struct stage *stage);

/* The first part of [start, end) that may be adopted. False if there is none. */
bool exclude_next_allowed(const struct exclude *exclude, uint64_t start, uint64_t end,
			  struct region *out) MUST_CHECK;

#endif
