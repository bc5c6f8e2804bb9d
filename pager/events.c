#include "pager/fault.h"
#include "pager/heir.h"
#include "pager/recall.h"
#include "pager/write.h"

#include "common/base/clock.h"

#include <string.h>

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
		writer_renumber(engine->writer, from, to);
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
	to->found = page->found;
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

/*
 * Events are queued when a system call is over, not when it changed the map; so two threads' events
 * may come in the wrong order. One order can always be told wrong: something moves to where the
 * books still have something else. The event that explains it, the unmapping or moving away of the
 * old, is on its way, and until it is read the kernel refuses every move and copy (EAGAIN). So the
 * arrival waits for it.
 *
 * For the same reason a mapping that moves away leaves its old range in the books: its unmapping is
 * an event of its own that comes later, and whatever moves there meanwhile must wait for that.
 * After MREMAP_DONTUNMAP there is none, and the range is rightly still ours.
 */
static bool overlap(uint64_t start, uint64_t end, uint64_t other, uint64_t bytes)
{
	return start < other + bytes && end > other;
}

/*
 * Whether a change belongs behind a late one: a fork behind all; a removal behind what is moved to
 * the place, an unmapping behind what is moved from it.
 */
static bool is_behind(const struct uffd_event *late, const struct uffd_event *event)
{
	if (event->kind == UFFD_FORK)
		return late->kind != UFFD_OTHER;
	if (late->kind != UFFD_REMAP || event->kind == UFFD_REMAP)
		return false;
	return overlap(event->range.start, event->range.end,
		       event->kind == UFFD_UNMAP ? late->remap.from : late->remap.to,
		       late->remap.bytes);
}

/* Whether the change is what a late arrival waits for, one of the first `count` late ones. */
static bool explains(const struct fault_thread *fault, const struct uffd_event *event,
		     unsigned count)
{
	uint64_t start = event->kind == UFFD_REMAP ? event->remap.from : event->range.start;
	uint64_t end = event->kind == UFFD_REMAP ? start + event->remap.bytes : event->range.end;

	for (unsigned i = 0; i < count && event->kind != UFFD_FORK; i++)
		if (fault->late[i].kind == UFFD_REMAP &&
		    overlap(start, end, fault->late[i].remap.to, fault->late[i].remap.bytes))
			return true;
	return false;
}

/*
 * A late fork's child has what was there before it: all that follows waits for it, but for what the
 * fork itself waits for.
 */
static bool waits_for(const struct fault_thread *fault, unsigned late,
		      const struct uffd_event *event)
{
	if (fault->late[late].kind == UFFD_FORK)
		return !explains(fault, event, late);
	return is_behind(&fault->late[late], event);
}

/* `before`: how many of the late ones came before it. */
static bool must_wait(const struct fault_thread *fault, const struct uffd_event *event,
		      unsigned before)
{
	struct engine *engine = fault->engine;

	/* What is leaving is in the child or not, and cannot be read before it has come. */
	if (event->kind == UFFD_FORK && recall_all_is_home(engine))
		return false;
	if (event->kind == UFFD_FORK && remap_is_under_way(&engine->remap))
		return true;
	if (event->kind == UFFD_REMAP &&
	    regions_touch(&engine->regions, event->remap.to, event->remap.to + event->remap.bytes))
		return true;
	for (unsigned i = 0; i < before; i++)
		if (waits_for(fault, i, event))
			return true;
	return false;
}

static void enter_remap(struct engine *engine, uint64_t from, uint64_t to, uint64_t bytes)
{
	struct shift shift = {engine, from, to};

	page_each(engine->table, from, from + bytes, shift_page, &shift);
	note_full(engine, regions_add(&engine->regions, to, to + bytes));
}

static void enter(struct fault_thread *fault, const struct uffd_event *event)
{
	struct engine *engine = fault->engine;

	switch (event->kind) {
	case UFFD_UNMAP:
		engine_drop_range(engine, event->range.start, event->range.end);
		note_full(engine,
			  regions_remove(&engine->regions, event->range.start, event->range.end));
		break;
	case UFFD_REMOVE:
		removed_note(&engine->removed, event->range.start, event->range.end, clock_ns());
		engine_drop_range(engine, event->range.start, event->range.end);
		break;
	case UFFD_REMAP:
		enter_remap(engine, event->remap.from, event->remap.to, event->remap.bytes);
		break;
	case UFFD_FORK:
		heir_fill(fault, event->child);
		break;
	case UFFD_FAULT:
	case UFFD_OTHER:
		break;
	}
}

/* Enters what need not wait any longer, in the order in which it came. */
static void enter_late(struct fault_thread *fault)
{
	unsigned i = 0;

	while (i < fault->late_count) {
		struct uffd_event event = fault->late[i];

		if (must_wait(fault, &event, i)) {
			i++;
			continue;
		}
		enter(fault, &event);
		fault->late_count--;
		memmove(&fault->late[i], &fault->late[i + 1],
			(fault->late_count - i) * sizeof(fault->late[0]));
		i = 0; /* this may have been what an earlier one waits for */
	}
}

/* Enters the oldest one that waits, over whatever the books have in its place. */
static void enter_first(struct fault_thread *fault)
{
	struct uffd_event event = fault->late[0];

	fault->late_count--;
	memmove(&fault->late[0], &fault->late[1], fault->late_count * sizeof(fault->late[0]));
	if (event.kind == UFFD_REMAP)
		engine_drop_range(fault->engine, event.remap.to,
				  event.remap.to + event.remap.bytes);
	enter(fault, &event);
	enter_late(fault);
}

static void note_late(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;

	engine->unsettled = fault->late_count > 0;
	engine->late_forks = 0;
	for (unsigned i = 0; i < fault->late_count; i++)
		engine->late_forks += fault->late[i].kind == UFFD_FORK;
}

void event_enter(struct fault_thread *fault, const struct uffd_event *event)
{
	if (event->kind == UFFD_REMAP &&
	    (event->remap.from == event->remap.to || remap_note(fault->engine, event)))
		return;
	if (must_wait(fault, event, fault->late_count)) {
		if (fault->late_count == LATE_EVENTS)
			engine_end(fault->engine, "too many changes of the map at once", 0);
		else
			fault->late[fault->late_count++] = *event;
	} else {
		enter(fault, event);
		enter_late(fault);
	}
	note_late(fault);
}

bool event_is_settled(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;

	if (LIKELY(!fault->late_count))
		return true;
	engine_lock(engine);
	/* Nothing is on its way any more: what the books have in the place is out of date. */
	enter_late(fault); /* a run may have come meanwhile that a fork waits for */
	while (fault->late_count && !remap_is_under_way(&engine->remap) &&
	       !uffd_is_changing(engine->uffd, engine->stage.base))
		enter_first(fault);
	note_late(fault);
	engine_unlock(engine);
	return !engine->unsettled;
}
