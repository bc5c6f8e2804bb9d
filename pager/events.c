#include "pager/fault.h"
#include "pager/recall.h"
#include "pager/take.h"

#include "common/base/clock.h"

#include <unistd.h>

static void drop_page(void *arg, struct page *page, uint64_t address UNUSED)
{
	engine_drop(arg, page);
}

static void drop_range(struct engine *engine, uint64_t start, uint64_t end)
{
	page_each(engine->table, start, end, drop_page, engine);
}

struct shift {
	struct engine *engine;
	uint64_t from, to;
};

/* Points whatever knows the old number at the new one. */
static void renumber(struct engine *engine, struct page *page, uint32_t from, uint32_t to)
{
	if (page->state == PAGE_STAGED)
		engine->stage.ids[page->where] = to;
	if (page->writing)
		take_renumber(engine, from, to);
}

/* The new place is made before the old one is given up, so page_each() never meets it. */
static void shift_page(void *arg, struct page *page, uint64_t address)
{
	struct shift *shift = arg;
	struct engine *engine = shift->engine;
	struct page *to = page_get(engine->table, address - shift->from + shift->to);
	enum page_state state = page->state;

	if (!to) {
		engine_end(engine, "the page table is full", address);
		return;
	}
	engine_drop(engine, to);
	to = page_get(engine->table, address - shift->from + shift->to);
	to->hash = page->hash;
	to->slot = page->slot;
	to->writing = page->writing;
	to->where = page->where;
	/* A fetch that is on its way finds nothing at the old address; the new one asks again. */
	page_set(engine->table, to, state == PAGE_FETCHING ? PAGE_REMOTE : state);
	renumber(engine, to, page_id(engine->table, page), page_id(engine->table, to));
	if (state == PAGE_RESIDENT)
		engine_queue(engine, to);
	page->slot = STORE_NO_SLOT;
	page->writing = 0;
	page->ahead = 0;
	page->where = 0;
	page_set(engine->table, page, PAGE_NONE);
}

static void note_full(struct engine *engine, int err)
{
	if (err)
		engine_end(engine, "the program has too many mappings", 0);
}

static void enter_remap(struct engine *engine, uint64_t from, uint64_t to, uint64_t bytes)
{
	struct shift shift = {engine, from, to};

	if (from == to)
		return;
	drop_range(engine, to, to + bytes);
	page_each(engine->table, from, from + bytes, shift_page, &shift);
	note_full(engine, regions_remove(&engine->regions, from, from + bytes));
	note_full(engine, regions_add(&engine->regions, to, to + bytes));
}

void event_enter(struct fault_thread *fault, const struct uffd_event *event)
{
	struct engine *engine = fault->engine;

	fault->map_changed = true;
	switch (event->kind) {
	case UFFD_UNMAP:
		drop_range(engine, event->range.start, event->range.end);
		note_full(engine,
			  regions_remove(&engine->regions, event->range.start, event->range.end));
		break;
	case UFFD_REMOVE:
		removed_note(&engine->removed, event->range.start, event->range.end, clock_ns());
		drop_range(engine, event->range.start, event->range.end);
		break;
	case UFFD_REMAP:
		enter_remap(engine, event->remap.from, event->remap.to, event->remap.bytes);
		break;
	case UFFD_FORK:
		recall_child(fault, event->child);
		break;
	case UFFD_FAULT:
	case UFFD_OTHER:
		break;
	}
}
