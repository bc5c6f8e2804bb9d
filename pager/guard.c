#include "pager/guard.h"

#include "pager/claim.h"
#include "pager/own.h"

#include <errno.h>
#include <sys/mman.h>

/* The second closes what has grown during the first. */
#define SHUT_PASSES 2u

int guard_start(struct engine *engine)
{
	struct guard *guard = &engine->guard;

	guard->needed = !engine->caps.fork_events;
	if (!guard->needed)
		return 0;
	atomic_store(&guard->open, true);
	guard->all_through = true;
	guard->maps = own_alloc(MAPS_BUFFER_BYTES);
	guard->found = own_alloc(MAPS_BUFFER_BYTES + MAPS_NAME_BYTES);
	guard->maps_fd = maps_open();
	if (guard->maps_fd < 0)
		return guard->maps_fd;
	return guard->maps && guard->found ? 0 : -ENOMEM;
}

static void advise(uint64_t start, uint64_t end, int advice)
{
	(void)madvise((void *)(uintptr_t)start, end - start, advice);
}

/* ---- shut ---- */

static bool is_stage(const struct stage *stage, const struct maps_entry *entry)
{
	return entry->start - stage->base < stage_bytes(stage);
}

void guard_add(struct engine *engine, uint64_t start, uint64_t end)
{
	struct guard *guard = &engine->guard;
	struct maps_entry entry;

	if (!guard->needed || guard_is_open(guard)) /* then it is closed with all others */
		return;
	for (uint64_t at = start; at < end; at = entry.end) {
		if (maps_find(guard->maps_fd, guard->found, at, &entry) || entry.start >= end)
			return;
		if (claim_wants(&entry) && entry.start != own_mark_at())
			advise(entry.start, entry.end, MADV_DONTFORK);
	}
}

/* Also what adjoins it: a mapping that grew as its old end was closed. They are joined again. */
static void shut_mapping(void *arg, const struct maps_entry *entry)
{
	struct engine *engine = arg;
	struct guard *guard = &engine->guard;

	if (entry->shared || is_stage(&engine->stage, entry) || entry->start == own_mark_at())
		return;
	if (!regions_touch(&engine->regions, entry->start, entry->end) &&
	    !(entry->start == guard->shut_to && claim_wants(entry)))
		return;
	advise(entry->start, entry->end, MADV_DONTFORK);
	guard->shut_to = entry->end;
}

static void shut(struct engine *engine)
{
	struct guard *guard = &engine->guard;

	for (unsigned pass = 0; pass < SHUT_PASSES; pass++) {
		guard->shut_to = 0;
		if (maps_each(guard->maps_fd, guard->maps, shut_mapping, engine))
			engine_end(engine, "/proc/self/maps cannot be read after a fork", 0);
	}
	atomic_store(&guard->open, false);
	guard->all_through = false;
}

void guard_shut(struct engine *engine)
{
	if (LIKELY(!guard_is_open(&engine->guard)) ||
	    atomic_load(&engine->phase) != ENGINE_ACTIVE || atomic_load(&engine->recalls))
		return;
	engine_lock(engine);
	shut(engine);
	engine_unlock(engine);
	engine_wake_take(engine);
}

/* ---- open ---- */

static void open_mapping(void *arg, const struct maps_entry *entry)
{
	const struct engine *engine = arg;

	if (!entry->shared && !is_stage(&engine->stage, entry))
		advise(entry->start, entry->end, MADV_DOFORK);
}

/*
 * What is moved meanwhile may be passed over, but whoever moves it waits until this thread has read
 * of it. So if nothing waits to be read in the end, nothing that is adopted has been missed.
 */
bool guard_let_through(struct engine *engine)
{
	struct guard *guard = &engine->guard;
	int err;

	if (!guard->needed || guard->all_through)
		return true;
	engine_lock(engine);
	atomic_store(&guard->open, true); /* what is adopted from now on stays open */
	engine_unlock(engine);
	err = maps_each(guard->maps_fd, guard->maps, open_mapping, engine);
	if (err)
		engine_end(engine, "/proc/self/maps cannot be read before a fork", 0);
	engine_lock(engine);
	guard->all_through =
		!err && !engine->unsettled && !uffd_is_changing(engine->uffd, engine->stage.base);
	engine_unlock(engine);
	return guard->all_through;
}
