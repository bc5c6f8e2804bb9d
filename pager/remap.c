#include "pager/remap.h"

#include "pager/engine.h"
#include "pager/pagemap.h"
#include "pager/pins.h"
#include "pager/strays.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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
	remap->arrived = remap->over = remap->overrun = false;
	for (uint32_t i = 0; i < n; i++)
		engine_now_staged(engine, ids[i]);
	return 0;
}

/* ---- move ---- */

/* A locked mapping would not be locked any more. This hint is refused for one, and reported never.
 */
static bool is_locked(uint64_t start, uint64_t bytes)
{
	return madvise(pointer(start), bytes, MADV_COLD) != 0 && errno == EINVAL;
}

/* What is between two locked pages is taken for locked, too: no more than a run, until they go. */
static int check_locks(const struct remap *remap)
{
	if (LIKELY(!is_locked(remap->source, remap->bytes)))
		return 0;
	return is_locked(remap->source, PAGE_BYTES) &&
			       is_locked(remap->source + remap->bytes - PAGE_BYTES, PAGE_BYTES)
		       ? -EPERM
		       : -EINVAL;
}

static int move(const struct remap *remap, const struct stage *stage)
{
	uint64_t to = stage_address(stage, remap->place);

	/* Not mremap(3): that is in front of the program's calls (libpager/front.h). */
	return syscall(SYS_mremap, remap->source, remap->bytes, remap->bytes,
		       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == -1
		       ? -errno
		       : 0;
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

/*
 * Forks that were read meanwhile are entered by the fault thread, which fills the children, before
 * the books go on: what followed them waits, too.
 */
static void let_forks_go_first(struct engine *engine)
{
	engine->remap.over = true;
	while (engine->late_forks) {
		if (engine->remap.overrun)
			engine_end(engine,
				   "memory was moved to what was being taken out, in a fork, at",
				   engine->remap.source);
		engine_unlock(engine);
		engine_wake_fault(engine);
		sched_yield();
		lock_calm(engine);
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
 * What has come was not ours. A child that was made meanwhile has not got it, and cannot get it any
 * more. Not under the lock.
 */
static int send_home(struct engine *engine, int err)
{
	struct remap *remap = &engine->remap;
	bool any;

	engine_unlock(engine);
	any = strays_send_home(engine);
	if (err)
		stage_reserve_again(&engine->stage, remap->place, remap->pages, err == -EFAULT);
	else
		stage_discard(&engine->stage, remap->place, remap->pages);
	lock_calm(engine);
	if (any && engine->late_forks)
		engine_end(engine,
			   "a mapping was replaced while its pages were taken out, in a fork, at",
			   remap->source);
	return err ? -EINVAL : -EAGAIN;
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

/* MADV_GUARD_INSTALL has dropped it, unreported, and the guard has come in its place. */
static void was_guarded(struct engine *engine, uint32_t place)
{
	uint32_t id = engine->stage.ids[place];

	if (id != PAGE_NO_ID)
		engine_drop(engine, page_by_id(engine->table, id));
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
		if (i < n && pagemap_is_guarded(entries[i]))
			was_guarded(engine, remap->place + i);
		else
			did_not_come(engine, remap->place + i, remap->source + i * PAGE_BYTES);
		stage->phases[remap->place + i] = STAGE_DEAD;
	}
}

/* A page that the program had moved away is there, and the place may hold something else. */
static void let_go_of_moved(struct engine *engine, uint32_t place, uint64_t source)
{
	uint32_t id = engine->stage.ids[place];
	uint64_t address;

	if (id == PAGE_NO_ID)
		return;
	address = page_address(engine->table, id);
	if (address == source || !pagemap_page_is_there(engine->pagemap_fd, address))
		return;
	back_in_books(engine, place);
	engine->stage.ids[place] = PAGE_NO_ID;
}

/*
 * What the program had moved to the source before us came along, and is what this place holds. Was
 * it rather moved there behind us? Then it is there; or the kernel has freed it, and the place
 * holds the old page, which is protected.
 */
static void take_moved(struct engine *engine, uint32_t place, uint64_t source, uint64_t entry)
{
	struct stage *stage = &engine->stage;
	struct page *page = page_find(engine->table, source);

	if (stage->ids[place] != PAGE_NO_ID || !pagemap_is_there(entry) || !page ||
	    page->state != PAGE_RESIDENT || pagemap_page_is_there(engine->pagemap_fd, source) ||
	    (page->found && pagemap_is_protected(entry)))
		return;
	page->where = place & PAGE_WHERE_MASK;
	page_set(engine->table, page, PAGE_STAGED);
	stage->ids[place] = page_id(engine->table, page);
	stage->came_from[place] = source;
	stage->phases[place] = STAGE_BUSY;
}

/* The program has moved something to the source, before us or behind us, or parts of both. */
static void sort_out(struct engine *engine)
{
	struct remap *remap = &engine->remap;
	uint64_t entries[REMAP_MAX_PAGES];
	uint32_t n = pagemap_read(engine->pagemap_fd, stage_address(&engine->stage, remap->place),
				  remap->pages, entries);

	if (n < remap->pages || engine->unsettled)
		engine_end(engine, "the program has moved memory to what was being taken out, at",
			   remap->source);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t source = remap->source + i * PAGE_BYTES;

		let_go_of_moved(engine, remap->place + i, source);
		take_moved(engine, remap->place + i, source, entries[i]);
	}
}

/*
 * The pages keep the protection that they had in the program, and forks would share them. Neither
 * call can fail but for want of the kernel's own memory; then reading them ends the process. Not
 * before it is known that they are ours: what goes back must be as it was.
 */
static void make_own(uint64_t to, uint64_t bytes)
{
	(void)mprotect(pointer(to), bytes, PROT_READ | PROT_WRITE);
	(void)madvise(pointer(to), bytes, MADV_DONTFORK);
}

static void keep(struct engine *engine)
{
	make_own(stage_address(&engine->stage, engine->remap.place), engine->remap.bytes);
	if (engine->remap.overrun)
		sort_out(engine);
	stage_note_mapping(&engine->stage, engine->remap.place);
	look_for_holes(engine);
}

int remap_finish(struct engine *engine)
{
	struct remap *remap = &engine->remap;
	int locked = check_locks(remap);
	int err = locked ? locked : move(remap, &engine->stage);

	lock_calm(engine);
	if (!locked && !remap->arrived)
		err = send_home(engine, err);
	let_forks_go_first(engine);
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

bool remap_is_under_way(const struct remap *remap)
{
	return remap->bytes && !remap->over;
}

bool remap_is_leaving(const struct remap *remap, uint64_t address)
{
	return address - remap->source < remap->bytes;
}

bool remap_meets(const struct remap *remap, uint64_t start, uint64_t end)
{
	return remap->bytes && start < remap->source + remap->bytes && end > remap->source;
}

bool remap_is_coming(const struct remap *remap, uint32_t place)
{
	return place - remap->place < remap->pages;
}

bool remap_has_come(const struct engine *engine, uint32_t place)
{
	return engine->remap.arrived &&
	       pagemap_page_is_there(engine->pagemap_fd, stage_address(&engine->stage, place));
}

bool remap_note(struct engine *engine, const struct uffd_event *event)
{
	struct remap *remap = &engine->remap;

	if (stage_contains(&engine->stage, event->remap.to)) {
		remap->arrived = true;
		return true;
	}
	if (remap_meets(remap, event->remap.to, event->remap.to + event->remap.bytes))
		remap->overrun = true;
	return false;
}
