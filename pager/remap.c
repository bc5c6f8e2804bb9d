#include "pager/remap.h"

#include "pager/engine.h"
#include "pager/pagemap.h"
#include "pager/pins.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

static void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

bool remap_must_stay(struct engine *engine)
{
	bool pinned = pins_any();

	atomic_store_explicit(&engine->pinned, pinned, memory_order_relaxed);
	return pinned;
}

/* ---- begin ---- */

int remap_begin(struct engine *engine, const uint32_t *ids, uint32_t n)
{
	struct remap *remap = &engine->remap;
	uint64_t source = page_address(engine->table, ids[0]);
	uint64_t bytes = (uint64_t)n << PAGE_SHIFT;
	int err;

	err = uffd_protect(engine->uffd, source, bytes, true);
	if (err)
		return err == -EAGAIN ? err : -EINVAL;
	remap->source = source;
	remap->bytes = bytes;
	remap->place = stage_place(&engine->stage, engine->stage.head);
	remap->pages = n;
	remap->arrived = remap->overrun = false;
	for (uint32_t i = 0; i < n; i++)
		engine_now_staged(engine, ids[i]);
	return 0;
}

/* ---- move ---- */

/* A locked mapping would not be locked any more. This hint is refused for one, and reported never.
 */
static bool is_locked(const struct remap *remap)
{
	return madvise(pointer(remap->source), remap->bytes, MADV_COLD) != 0 && errno == EINVAL;
}

/*
 * The pages keep the protection that they had in the program, and forks would share them. Neither
 * call can fail but for want of the kernel's own memory; then reading them ends the process.
 */
static void make_own(uint64_t to, uint64_t bytes)
{
	(void)mprotect(pointer(to), bytes, PROT_READ | PROT_WRITE);
	(void)madvise(pointer(to), bytes, MADV_DONTFORK);
}

static int move(const struct remap *remap, struct stage *stage)
{
	uint64_t to = stage_address(stage, remap->place);

	if (is_locked(remap))
		return -EINVAL;
	if (mremap(pointer(remap->source), remap->bytes, remap->bytes,
		   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, pointer(to)) != MAP_FAILED) {
		make_own(to, remap->bytes);
		return 0;
	}
	stage_reserve_again(stage, remap->place, remap->pages);
	return -EINVAL;
}

/* ---- end ---- */

/*
 * All that happened to the source until it was moved is in the books once no change waits to be
 * read. The fault thread reads them as they come, so such a moment is never far.
 */
static void lock_calm(struct engine *engine)
{
	engine_lock_last(engine);
	while (uffd_is_changing(engine->uffd, engine->stage.base)) {
		engine_unlock(engine);
		sched_yield();
		engine_lock_last(engine);
	}
}

/* The page in this place is in the program, after all. */
static void back_in_books(struct engine *engine, uint32_t place)
{
	struct page *page = page_by_id(engine->table, engine->stage.ids[place]);
	bool found = page->found;

	engine_now_resident(engine, page);
	page->found = found;
}

/* Nothing was moved: the pages are where they were, or where the program has moved them since. */
static void undo(struct engine *engine)
{
	struct remap *remap = &engine->remap;
	struct stage *stage = &engine->stage;

	for (uint32_t place = remap->place; place < remap->place + remap->pages; place++) {
		if (stage->ids[place] != PAGE_NO_ID)
			back_in_books(engine, place);
		stage->phases[place] = STAGE_DEAD;
	}
	stage->head -= remap->pages;
	/* Refused while the map changes: then whoever writes there is reported, and let go on. */
	(void)!uffd_protect(engine->uffd, remap->source, remap->bytes, false);
}

/*
 * What was moved was not ours: after begin the program has unmapped the run in one thread and
 * mapped something else at the same place in another one. It goes back at once, to where it was
 * the same mapping; if somebody has touched it meanwhile, and seen zeros, that cannot be mended.
 */
static void give_back(struct engine *engine)
{
	struct remap *remap = &engine->remap;
	uint64_t to = stage_address(&engine->stage, remap->place);
	uint64_t entries[REMAP_MAX_PAGES];
	uint32_t n = pagemap_read(engine->pagemap_fd, remap->source, remap->pages, entries);

	for (uint32_t i = 0; i < n; i++)
		if (pagemap_is_there(entries[i]))
			engine_end(engine,
				   "a mapping was replaced while its pages were taken out, at",
				   remap->source);
	if (mremap(pointer(to), remap->bytes, remap->bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		   pointer(remap->source)) == MAP_FAILED)
		engine_end(engine, "a mapping that was moved cannot be moved back, to",
			   remap->source);
	stage_reserve_again(&engine->stage, remap->place, remap->pages);
}

/*
 * Nothing has come for this page. Either the program has moved it elsewhere before us, leaving the
 * mapping here (MREMAP_DONTUNMAP); or the kernel had dropped it (MADV_FREE).
 */
static void did_not_come(struct engine *engine, uint32_t place, uint64_t source)
{
	uint32_t id = engine->stage.ids[place];

	if (id == PAGE_NO_ID)
		return;
	if (page_address(engine->table, id) != source)
		back_in_books(engine, place);
	else if (page_by_id(engine->table, id)->found)
		engine_drop(engine, page_by_id(engine->table, id));
	else
		engine_end(engine, "a page that was in memory is missing, at", source);
}

/* What has not come must not be read. */
static void look_for_holes(struct engine *engine)
{
	struct remap *remap = &engine->remap;
	struct stage *stage = &engine->stage;
	uint64_t entries[REMAP_MAX_PAGES];
	uint32_t n = pagemap_read(engine->pagemap_fd, stage_address(stage, remap->place),
				  remap->pages, entries);

	for (uint32_t i = 0; i < remap->pages; i++) {
		if (i < n && pagemap_is_there(entries[i]))
			continue;
		did_not_come(engine, remap->place + i, remap->source + i * PAGE_BYTES);
		stage->phases[remap->place + i] = STAGE_DEAD;
	}
}

static void keep(struct engine *engine)
{
	if (engine->remap.overrun)
		engine_end(engine, "the program has moved memory to what was being taken out, at",
			   engine->remap.source);
	stage_note_mapping(&engine->stage, engine->remap.place);
	look_for_holes(engine);
}

int remap_finish(struct engine *engine)
{
	struct remap *remap = &engine->remap;
	int err = move(remap, &engine->stage);

	lock_calm(engine);
	if (!err && !remap->arrived) {
		give_back(engine);
		err = -EAGAIN;
	}
	if (err)
		undo(engine);
	else
		keep(engine);
	remap->bytes = 0;
	remap->pages = 0;
	engine_unlock(engine);
	if (atomic_load(&engine->fault_asleep)) /* with faults that had to wait for this */
		engine_wake_fault(engine);
	return err;
}

/* ---- for the fault thread ---- */

bool remap_is_leaving(const struct remap *remap, uint64_t address)
{
	return address - remap->source < remap->bytes;
}

bool remap_is_coming(const struct remap *remap, uint32_t place)
{
	return place - remap->place < remap->pages;
}

bool remap_note(struct engine *engine, const struct uffd_event *event)
{
	struct remap *remap = &engine->remap;

	if (stage_contains(&engine->stage, event->remap.to)) {
		remap->arrived = true;
		return true;
	}
	if (event->remap.to < remap->source + remap->bytes &&
	    event->remap.to + event->remap.bytes > remap->source)
		remap->overrun = true;
	return false;
}
