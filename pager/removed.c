#include "pager/removed.h"

#include <string.h>

/* `ns` may be the later one: the clock is read first, and then the lock is waited for. */
static bool is_fresh(uint64_t ns, uint64_t now_ns)
{
	return ns && now_ns < ns + REMOVED_FRESH_NS;
}

void removed_note(struct removed *removed, uint64_t start, uint64_t end, uint64_t now_ns)
{
	uint32_t at = removed->head++ % REMOVED_ROOM;

	if (removed->head - removed->tail > REMOVED_ROOM) {
		removed->tail++;
		if (is_fresh(removed->ranges[at].ns, now_ns))
			removed->lost_ns = removed->ranges[at].ns;
	}
	removed->ranges[at].start = start;
	removed->ranges[at].end = end;
	removed->ranges[at].ns = now_ns;
}

bool removed_mark(const struct removed *removed, uint64_t start, unsigned pages, uint64_t now_ns,
		  uint8_t *bits)
{
	uint64_t end = start + ((uint64_t)pages << PAGE_SHIFT);
	bool lost = is_fresh(removed->lost_ns, now_ns);
	bool any = lost;

	memset(bits, lost ? 0xff : 0, (pages + 7) / 8);
	for (uint32_t i = removed->tail; i != removed->head && !lost; i++) {
		uint64_t from = removed->ranges[i % REMOVED_ROOM].start;
		uint64_t to = removed->ranges[i % REMOVED_ROOM].end;

		if (from >= end || to <= start ||
		    !is_fresh(removed->ranges[i % REMOVED_ROOM].ns, now_ns))
			continue;
		any = true;
		from = from > start ? (from - start) >> PAGE_SHIFT : 0;
		to = to < end ? (to - start + PAGE_BYTES - 1) >> PAGE_SHIFT : pages;
		for (; from < to; from++)
			bits[from / 8] |= (uint8_t)(1u << from % 8);
	}
	return any;
}

bool removed_take(struct removed *removed, uint64_t now_ns, uint64_t *start, uint64_t *end)
{
	uint32_t at = removed->tail % REMOVED_ROOM;

	if (removed->tail == removed->head || is_fresh(removed->ranges[at].ns, now_ns))
		return false;
	*start = removed->ranges[at].start;
	*end = removed->ranges[at].end;
	removed->tail++;
	return true;
}
