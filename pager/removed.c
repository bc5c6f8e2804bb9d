#include "pager/removed.h"

/* `ns` may be the later one: the clock is read first, and then the lock is waited for. */
static bool is_fresh(uint64_t ns, uint64_t now_ns)
{
	return ns && now_ns < ns + REMOVED_FRESH_NS;
}

void removed_note(struct removed *removed, uint64_t start, uint64_t end, uint64_t now_ns)
{
	uint32_t at = removed->next++ % REMOVED_ROOM;

	if (is_fresh(removed->ranges[at].ns, now_ns))
		removed->lost_ns = removed->ranges[at].ns;
	removed->ranges[at].start = start;
	removed->ranges[at].end = end;
	removed->ranges[at].ns = now_ns;
}

bool removed_touches(const struct removed *removed, uint64_t start, uint64_t end, uint64_t now_ns)
{
	if (is_fresh(removed->lost_ns, now_ns))
		return true;
	for (uint32_t i = 0; i < REMOVED_ROOM; i++)
		if (is_fresh(removed->ranges[i].ns, now_ns) && removed->ranges[i].start < end &&
		    removed->ranges[i].end > start)
			return true;
	return false;
}
