#include "pager/regions.h"

#include <errno.h>
#include <string.h>

void regions_init(struct regions *regions, struct region *list, unsigned room)
{
	*regions = (struct regions){.list = list, .room = room};
}

/* First region that ends at or behind `address` (touching counts when `touch`). */
static unsigned first_behind(const struct regions *regions, uint64_t address, bool touch)
{
	unsigned low = 0, high = regions->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		uint64_t end = regions->list[middle].end;

		if (end > address || (touch && end == address))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Replaces `old` entries from `at` on with `new_count` entries of `fresh`. */
static int splice(struct regions *regions, unsigned at, unsigned old, const struct region *fresh,
		  unsigned new_count)
{
	if (regions->count - old + new_count > regions->room)
		return -ENOSPC;
	for (unsigned i = at; i < at + old; i++)
		regions->bytes -= regions->list[i].end - regions->list[i].start;
	memmove(&regions->list[at + new_count], &regions->list[at + old],
		(regions->count - at - old) * sizeof(regions->list[0]));
	for (unsigned i = 0; i < new_count; i++) {
		regions->list[at + i] = fresh[i];
		regions->bytes += fresh[i].end - fresh[i].start;
	}
	regions->count = regions->count - old + new_count;
	return 0;
}

int regions_add(struct regions *regions, uint64_t start, uint64_t end)
{
	unsigned at = first_behind(regions, start, true);
	struct region joined = {start, end};
	unsigned old = 0;

	while (at + old < regions->count && regions->list[at + old].start <= end) {
		const struct region *other = &regions->list[at + old];

		joined.start = other->start < joined.start ? other->start : joined.start;
		joined.end = other->end > joined.end ? other->end : joined.end;
		old++;
	}
	return splice(regions, at, old, &joined, 1);
}

int regions_remove(struct regions *regions, uint64_t start, uint64_t end)
{
	unsigned at = first_behind(regions, start, false);
	struct region rest[2];
	unsigned old = 0, left = 0;

	while (at + old < regions->count && regions->list[at + old].start < end) {
		struct region other = regions->list[at + old];

		if (other.start < start)
			rest[left++] = (struct region){other.start, start};
		if (other.end > end)
			rest[left++] = (struct region){end, other.end};
		old++;
	}
	return splice(regions, at, old, rest, left);
}

bool regions_contain(const struct regions *regions, uint64_t address)
{
	unsigned at = first_behind(regions, address, false);

	return at < regions->count && regions->list[at].start <= address;
}

bool regions_touch(const struct regions *regions, uint64_t start, uint64_t end)
{
	unsigned at = first_behind(regions, start, false);

	return at < regions->count && regions->list[at].start < end;
}

bool regions_gap(const struct regions *regions, uint64_t start, uint64_t end, struct region *out)
{
	unsigned at = first_behind(regions, start, false);

	if (at < regions->count && regions->list[at].start <= start)
		start = regions->list[at++].end;
	if (start >= end)
		return false;
	if (at < regions->count && regions->list[at].start < end)
		end = regions->list[at].start;
	*out = (struct region){start, end};
	return true;
}
