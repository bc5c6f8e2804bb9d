#include "pager/guard.h"

#include "pager/engine.h"
#include "pager/maps.h"
#include "pager/own.h"

#include <errno.h>
#include <sys/mman.h>

int guard_start(struct engine *engine)
{
	struct guard *guard = &engine->guard;

	guard->needed = !engine->caps.fork_events;
	if (!guard->needed)
		return 0;
	atomic_store(&guard->open, true);
	guard->all_through = true;
	guard->maps = own_alloc(MAPS_BUFFER_BYTES);
	guard->maps_fd = maps_open();
	if (guard->maps_fd < 0)
		return guard->maps_fd;
	return guard->maps ? 0 : -ENOMEM;
}

static void advise(uint64_t start, uint64_t end, int advice)
{
	(void)madvise((void *)(uintptr_t)start, end - start, advice);
}

/* ---- shut ---- */

void guard_add(struct engine *engine, uint64_t start, uint64_t end)
{
	struct guard *guard = &engine->guard;

	if (!guard->needed || guard_is_open(guard)) /* then it is closed with all others */
		return;
	advise(start, end, MADV_DONTFORK);
}

static void shut(struct engine *engine)
{
	struct guard *guard = &engine->guard;
	const struct regions *regions = &engine->regions;

	for (unsigned i = 0; i < regions->count; i++)
		advise(regions->list[i].start, regions->list[i].end, MADV_DONTFORK);
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
	const struct stage *stage = &((const struct engine *)arg)->stage;

	if (!entry->shared && entry->start - stage->base >= stage_bytes(stage))
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
