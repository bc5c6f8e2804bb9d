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

void guard_add(struct engine *engine, uint64_t start, uint64_t end)
{
	struct guard *guard = &engine->guard;

	if (!guard->needed)
		return;
	lock_acquire(&guard->lock);
	if (!guard_is_open(guard)) /* else it is closed with all others */
		advise(start, end, MADV_DONTFORK);
	lock_release(&guard->lock);
}

/* Whole mappings: one that has grown is not adopted to its end yet, but is like its beginning. */
static void open_mapping(void *arg, const struct maps_entry *entry)
{
	struct engine *engine = arg;
	bool is_ours;

	engine_lock(engine);
	is_ours = !entry->shared && regions_touch(&engine->regions, entry->start, entry->end);
	engine_unlock(engine);
	if (is_ours)
		advise(entry->start, entry->end, MADV_DOFORK);
}

/*
 * What is moved meanwhile stays as it was, and is at its new place in the books only after this
 * thread has read of it. So if nothing waits to be read in the end, nothing has been missed.
 */
bool guard_let_through(struct engine *engine)
{
	struct guard *guard = &engine->guard;
	int err;

	if (!guard->needed || guard_is_open(guard))
		return true;
	lock_acquire(&guard->lock);
	err = maps_each(guard->maps_fd, guard->maps, open_mapping, engine);
	if (!err && !uffd_is_changing(engine->uffd, engine->stage.base))
		atomic_store(&guard->open, true);
	lock_release(&guard->lock);
	if (err)
		engine_end(engine, "/proc/self/maps cannot be read before a fork", 0);
	return guard_is_open(guard);
}

void guard_shut(struct engine *engine)
{
	struct guard *guard = &engine->guard;
	const struct regions *regions = &engine->regions;

	if (!guard_is_open(guard) || atomic_load(&engine->phase) != ENGINE_ACTIVE ||
	    atomic_load(&engine->recalls))
		return;
	lock_acquire(&guard->lock);
	engine_lock(engine);
	for (unsigned i = 0; i < regions->count; i++)
		advise(regions->list[i].start, regions->list[i].end, MADV_DONTFORK);
	engine_unlock(engine);
	atomic_store(&guard->open, false);
	lock_release(&guard->lock);
	engine_wake_take(engine);
}
