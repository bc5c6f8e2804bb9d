/*
 * Which addresses are under the engine's care: a sorted list of ranges that do not touch. A pure
 * book; the engine's map lock guards it. Room is fixed when it is opened.
 */
#ifndef PAGER_REGIONS_H
#define PAGER_REGIONS_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct region {
	uint64_t start, end;
};

struct regions {
	struct region *list; /* owned by the caller */
	unsigned count, room;
	uint64_t bytes;
};

void regions_init(struct regions *regions, struct region *list, unsigned room);

/* Adds [start, end), joined with what it touches. -ENOSPC when the list is full. */
int regions_add(struct regions *regions, uint64_t start, uint64_t end) MUST_CHECK;
/* -ENOSPC when a hole would need an entry more than there is room for; nothing is changed then. */
int regions_remove(struct regions *regions, uint64_t start, uint64_t end) MUST_CHECK;

/* Whether some address of [start, end) is in a region. */
bool regions_touch(const struct regions *regions, uint64_t start, uint64_t end);

bool regions_contain(const struct regions *regions, uint64_t address);

/* The first part of [start, end) that is in no region; false if there is none. */
bool regions_gap(const struct regions *regions, uint64_t start, uint64_t end, struct region *out);

#endif
