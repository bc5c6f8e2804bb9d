/*
 * One thing a look must not see: pages that the program is about to drop. The kernel reports
 * MADV_DONTNEED before it drops the pages; a page entered in between could be taken out and later
 * come back. So a look passes over what was dropped a moment ago (removed.h).
 */
#include "pager/look.h"

#include "common/base/clock.h"
#include "pager/own.h"
#include "pager/pagemap.h"

#include <errno.h>

#define QUEUE 1024u

struct looker {
	struct engine *engine;
	uint64_t *entries;	    /* PAGE_CHUNK_PAGES of the pagemap */
	struct region queue[QUEUE]; /* [first, end) are to be looked at */
	unsigned first, end;
	bool passed_over;
};

int look_open(struct engine *engine, struct looker **out)
{
	struct looker *looker = own_alloc(sizeof(*looker));

	if (!looker)
		return -ENOMEM;
	looker->engine = engine;
	looker->entries = own_alloc(PAGE_CHUNK_PAGES * sizeof(looker->entries[0]));
	if (!looker->entries)
		return -ENOMEM;
	*out = looker;
	return 0;
}

/* Without room two ranges become one with what lies between: that costs time, nothing else. */
void look_add(struct looker *looker, uint64_t start, uint64_t end)
{
	struct region *last;

	if (looker->first == looker->end)
		looker->first = looker->end = 0;
	last = looker->end ? &looker->queue[looker->end - 1] : NULL;
	if (!last || (looker->end < QUEUE && last->end != start)) {
		looker->queue[looker->end++] = (struct region){start, end};
		return;
	}
	last->start = start < last->start ? start : last->start;
	last->end = end > last->end ? end : last->end;
}

/* What was dropped a while ago may have been written again, unseen after MADV_FREE. */
static void add_removed(struct looker *looker)
{
	struct engine *engine = looker->engine;
	uint64_t now = clock_ns(), start, end;

	engine_lock(engine);
	while (looker->end < QUEUE && removed_take(&engine->removed, now, &start, &end))
		look_add(looker, start, end);
	engine_unlock(engine);
}

bool look_passed_over(struct looker *looker)
{
	bool passed_over = looker->passed_over;

	looker->passed_over = false;
	return passed_over;
}

/* Enters one page that is there, unless it is known. Returns whether it was not. Under map_lock. */
static bool enter(struct engine *engine, uint64_t address)
{
	struct page *page;

	if (!regions_contain(&engine->regions, address))
		return false;
	page = page_get(engine->table, address);
	if (!page || page->state != PAGE_NONE)
		return false;
	engine_now_resident(engine, page);
	page->found = 1;
	return true;
}

/* Entered pages were counted among the others until now. */
static void no_longer_other(struct engine *engine, uint64_t pages)
{
	uint64_t other = atomic_load(&engine->other_pages);

	atomic_store(&engine->other_pages, other > pages ? other - pages : 0);
}

/* Enters the pages of one chunk that are there and that nobody knows. */
static void look_at(struct looker *looker, uint64_t start, uint64_t end)
{
	struct engine *engine = looker->engine;
	uint64_t now = clock_ns(), entered = 0;
	unsigned pages = (unsigned)((end - start) >> PAGE_SHIFT), n;
	uint8_t leaving[PAGE_CHUNK_PAGES / 8];

	engine_lock(engine);
	if (removed_mark(&engine->removed, start, pages, now, leaving))
		looker->passed_over = true;
	n = pagemap_read(engine->pagemap_fd, start, pages, looker->entries);
	for (unsigned i = 0; i < n; i++)
		if (pagemap_is_there(looker->entries[i]) && !(leaving[i / 8] & 1u << i % 8))
			entered += enter(engine, start + i * PAGE_BYTES);
	no_longer_other(engine, entered);
	engine_unlock(engine);
}

/* Looks at the next chunk of the first range in which a page is there. */
static void step(struct looker *looker)
{
	struct region *region = &looker->queue[looker->first];
	uint64_t start = pagemap_next(looker->engine->pagemap_fd, region->start, region->end);
	uint64_t end = (start + PAGE_CHUNK_BYTES) & ~(PAGE_CHUNK_BYTES - 1);

	if (end > region->end)
		end = region->end;
	if (start < end)
		look_at(looker, start, end);
	region->start = end;
	if (region->start >= region->end)
		looker->first++;
}

bool look_step(struct looker *looker, uint64_t until_ns)
{
	add_removed(looker);
	while (looker->first < looker->end) {
		step(looker);
		engine_wake_take(looker->engine);
		if (clock_ns() >= until_ns)
			break;
	}
	return looker->first < looker->end;
}
