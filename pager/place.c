/*
 * Serving one fault: looks up where the page's content is and puts it back, or begins to.
 *
 * All of it runs under the map lock, because the take-out thread might otherwise take a page out
 * between our look at its state and the ioctl: a zero page would then lie over content that is out.
 */
#include "pager/fault.h"

#include "common/base/clock.h"
#include "pager/move.h"
#include "pager/pagemap.h"
#include "pager/thread.h"

#include <errno.h>
#include <string.h>

/* Pages from `address` on that were never met, within one region; the first one counts unseen. */
static uint32_t fresh_run(struct engine *engine, uint64_t address, uint32_t max)
{
	uint32_t n = 1;

	for (; n < max; n++) {
		uint64_t next = address + n * PAGE_BYTES;
		const struct page *page = page_find(engine->table, next);

		if ((page && page->state != PAGE_NONE) || !regions_contain(&engine->regions, next))
			break;
	}
	return n;
}

/* The kernel reports faults only where we have registered: the mapping grew behind our back. */
static void know_region(struct engine *engine, uint64_t address)
{
	if (!regions_contain(&engine->regions, address) &&
	    regions_add(&engine->regions, address, address + PAGE_BYTES))
		engine_end(engine, "the program has too many mappings", address);
}

/*
 * A thread may fault where another is in the middle of MADV_DONTNEED, which is reported before the
 * pages are dropped: the fresh page may be dropped with them, and nobody tells of it.
 */
static void track(struct engine *engine, uint64_t address, uint64_t bytes)
{
	unsigned pages = (unsigned)(bytes >> PAGE_SHIFT);
	uint8_t leaving[FETCH_PAGES / 8];

	removed_mark(&engine->removed, address, pages, clock_ns(), leaving);
	for (unsigned i = 0; i < pages; i++) {
		uint64_t at = address + i * PAGE_BYTES;
		struct page *page = page_get(engine->table, at);

		if (!page) {
			engine_end(engine, "the page table is full", at);
		} else if (page->state == PAGE_NONE) {
			engine_now_resident(engine, page);
			page->found = ((unsigned)leaving[i / 8] >> i % 8) & 1u;
		}
	}
}

static enum served place_fresh(struct fault_thread *fault, const struct todo *todo)
{
	struct engine *engine = fault->engine;
	struct stream_advice advice =
		stream_advise(&fault->fresh, todo->tid, todo->address >> PAGE_SHIFT);
	uint32_t want = advice.first == todo->address >> PAGE_SHIFT ? advice.count : 1;
	uint64_t done;
	uint32_t n;
	int err;

	if (engine_used(engine) + want > engine->budget.high)
		want = 1;
	n = fresh_run(engine, todo->address, want);
	if (n > 1 && engine->guards)
		n = 1 + pagemap_free(engine->pagemap_fd, todo->address + PAGE_BYTES, n - 1);
	err = uffd_copy(engine->uffd, todo->address, fault->zeros, n * PAGE_BYTES, &done);
	if (err == -EEXIST && !done) {
		uffd_wake(engine->uffd, todo->address, PAGE_BYTES);
		done = PAGE_BYTES;
	}
	if (err == -EAGAIN && !done)
		return LATER;
	if (done)
		know_region(engine, todo->address);
	track(engine, todo->address, done);
	if (!done) /* unmapped meanwhile: the thread faults again and gets what it would have got */
		uffd_wake(engine->uffd, todo->address, PAGE_BYTES);
	stats_count(&engine->stats->fresh, 1);
	hist_add(&engine->stats->fresh_ns, clock_ns() - todo->since_ns);
	return SERVED;
}

/*
 * Only MADV_FREE lets the kernel drop a page, and then we hear of it and forget the page. What we
 * have put in its place ourselves cannot be missing; if it is, its content is lost and zeros would
 * be wrong. A page that was found may have been freed before we knew it (see also track()).
 */
static bool is_lost(struct engine *engine, const struct page *page, uint64_t address)
{
	if (page->found || pagemap_page_is_there(engine->pagemap_fd, address) ||
	    uffd_is_changing(engine->uffd, engine->stage.base))
		return false;
	engine_end(engine, "a page that was in memory is missing, at", address);
	return true;
}

/*
 * A fault on a page that should be there. Mostly two threads wanted it and it has come meanwhile.
 * If it is truly missing, the kernel has dropped it (MADV_FREE) and zeros are right.
 */
static enum served place_again(struct fault_thread *fault, const struct page *page,
			       const struct todo *todo)
{
	struct engine *engine = fault->engine;
	uint64_t done;
	int err;

	if (is_lost(engine, page, todo->address))
		return LATER;
	err = uffd_zero(engine->uffd, todo->address, PAGE_BYTES, &done);
	if (err == -EAGAIN)
		return LATER;
	if (err)
		uffd_wake(engine->uffd, todo->address, PAGE_BYTES);
	stats_count(&engine->stats->stale, 1);
	return SERVED;
}

static enum served copy_back(struct engine *engine, struct page *page, uint64_t address,
			     const void *from)
{
	uint64_t done;
	int err = uffd_copy(engine->uffd, address, from, PAGE_BYTES, &done);

	/* Unmapped between the kernel's two looks; nobody but this thread reads the event. */
	if (err == -ENOENT && uffd_is_changing(engine->uffd, engine->stage.base))
		return LATER;
	if (err == -EEXIST && engine->guards &&
	    pagemap_page_is_guarded(engine->pagemap_fd, address)) {
		engine_drop(engine, page); /* by MADV_GUARD_INSTALL, which is not reported */
		return SERVED;
	}
	if (err && err != -EAGAIN)
		engine_end(engine,
			   err == -EEXIST ? "a page that was out was found in memory at"
					  : "the kernel will not place the page at",
			   address);
	if (err)
		return LATER;
	engine_now_resident(engine, page);
	return SERVED;
}

static enum served staged_back(struct fault_thread *fault, struct page *page, uint64_t address)
{
	struct engine *engine = fault->engine;
	struct stage *stage = &engine->stage;
	uint32_t place = page->where;
	bool was_found = page->found;
	uint64_t from = stage_address(stage, place);
	enum served served;
	uint64_t done;
	int err = -EINVAL;

	if (remap_is_coming(&engine->remap, place))
		return LATER;
	if (stage->phases[place] != STAGE_BUSY && engine->caps.move)
		err = move_counted(engine->uffd, engine->pagemap_fd, address, from, PAGE_BYTES,
				   &done);
	if (err == -EAGAIN)
		return LATER;
	if (!err) { /* the very same page: as it was found, if it was */
		engine_now_resident(engine, page);
		page->found = was_found;
		served = SERVED;
	} else { /* being read, or the mapping is protected by now: a copy does */
		served = copy_back(engine, page, address, (const void *)(uintptr_t)from);
	}
	if (served == SERVED && stage->phases[place] != STAGE_BUSY)
		stage->phases[place] = STAGE_DEAD;
	else if (served == SERVED)
		stage->ids[place] = PAGE_NO_ID; /* the take-out thread lets go of it */
	return served;
}

const void *place_fill(struct fault_thread *fault, uint64_t word)
{
	uint64_t *words = (uint64_t *)(void *)fault->fill;

	if (!word)
		return fault->zeros;
	for (unsigned i = 0; i < PAGE_BYTES / sizeof(words[0]); i++)
		words[i] = word;
	return words;
}

enum served place_back(struct fault_thread *fault, struct page *page, uint64_t address)
{
	if (page->state == PAGE_STAGED)
		return staged_back(fault, page, address);
	return copy_back(fault->engine, page, address, place_fill(fault, page->hash.low));
}

static enum served back_and_count(struct fault_thread *fault, struct page *page,
				  const struct todo *todo)
{
	struct stats_page *stats = fault->engine->stats;
	_Atomic uint64_t *counter = page->state == PAGE_STAGED ? &stats->minor : &stats->refilled;
	enum served served = place_back(fault, page, todo->address);

	if (served == SERVED) {
		stats_count(counter, 1);
		hist_add(&stats->minor_ns, clock_ns() - todo->since_ns);
	}
	return served;
}

static enum served fetch(struct fault_thread *fault, const struct todo *todo)
{
	struct stream_advice advice =
		stream_advise(&fault->reads, todo->tid, todo->address >> PAGE_SHIFT);
	enum served served = fetch_begin(fault, todo->address, advice, todo->since_ns);

	if (served == SERVED) {
		stats_count(&fault->engine->stats->major, 1);
		fetch_ahead(fault, &advice);
	}
	return served;
}

/*
 * A write to a page that is there, but protected: it was to be taken out, and was not (remap.h). If
 * it has left meanwhile it comes like any other.
 */
static enum served let_write(struct engine *engine, uint64_t address)
{
	int err = uffd_protect(engine->uffd, address, PAGE_BYTES, false);

	if (err == -EAGAIN)
		return LATER;
	if (err) /* unmapped meanwhile */
		uffd_wake(engine->uffd, address, PAGE_BYTES);
	return SERVED;
}

/* Wanted while on its way: it was worth fetching ahead. */
static enum served already_coming(struct fault_thread *fault, struct page *page,
				  const struct todo *todo)
{
	struct stats_page *stats = fault->engine->stats;
	struct stream_advice advice;

	if (page->ahead)
		stats_count(&stats->ahead_used, 1);
	page->ahead = 0;
	if (fetch_want(fault, page, todo->since_ns)) {
		stats_count(&stats->major, 1);
		advice = stream_advise(&fault->reads, todo->tid, todo->address >> PAGE_SHIFT);
		fetch_ahead(fault, &advice);
	}
	return SERVED;
}

static void in_the_area(struct engine *engine, const struct todo *todo)
{
	if (thread_is_on_errand(todo->tid))
		engine_end(engine, "the engine touched a page that it had moved, at",
			   todo->address);
	else
		locked_let_pass(engine, engine->uffd, todo->address);
}

static enum served serve(struct fault_thread *fault, const struct todo *todo)
{
	struct engine *engine = fault->engine;
	struct page *page = page_find(engine->table, todo->address);

	if (stage_contains(&engine->stage, todo->address)) {
		in_the_area(engine, todo);
		return SERVED;
	}
	if (remap_is_leaving(&engine->remap, todo->address))
		return LATER;
	if (todo->protected && (!page || page->state == PAGE_NONE || page->state == PAGE_RESIDENT))
		return let_write(engine, todo->address);
	if (!page || page->state == PAGE_NONE)
		return place_fresh(fault, todo);
	switch ((enum page_state)page->state) {
	case PAGE_RESIDENT:
		return place_again(fault, page, todo);
	case PAGE_STAGED:
	case PAGE_FILLED:
		return back_and_count(fault, page, todo);
	case PAGE_REMOTE:
		return fetch(fault, todo);
	case PAGE_FETCHING:
		return already_coming(fault, page, todo);
	default:
		return SERVED;
	}
}

enum served place_fault(struct fault_thread *fault, const struct todo *todo)
{
	enum served served;

	if (!event_is_settled(fault))
		return LATER;
	engine_lock(fault->engine);
	served = serve(fault, todo);
	engine_unlock(fault->engine);
	return served;
}
