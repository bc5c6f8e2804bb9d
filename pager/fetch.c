/*
 * Fetches: runs of remote pages on their way home. The happy path: fetch_begin() claims the pages
 * and lists the reads, fetch_turn() posts them, takes completions, checks each page's hash and
 * places the run with one UFFDIO_COPY. What can fail: the store (the donor is gone: the page is
 * lost, the program must end), a wrong hash (read once more, then the program must end), the map
 * changing meanwhile (the page is looked up again and, if it went elsewhere, left alone; whoever
 * waits for it at its old place is woken, since no event of the kernel's does that).
 *
 * A steady stream has the window behind on its way while the program goes through the one before.
 * Nobody waits for it, so it is held: what has arrived is checked, and stays in its landing place
 * until the program wants one of its pages. So the pages are out until then, and that fault is the
 * one that asks for the next window, while all of this one is here. On a wire that takes longer to
 * bring a window than the program to go through one, several are on their way.
 */
#include "pager/heir.h"

#include "common/base/clock.h"

#include <errno.h>

#define IO_BITS 8 /* of a cookie: which request of the fetch */
#define DONE_BATCH 32u
/* The others are for what is waited for. */
#define HELD_MAX (FETCHES / 2)
/* Eight windows are 1 MiB: a millisecond of a wire of 1 GB/s. A guess. */
#define DEEPER_MAX 7u
/* The program has gone elsewhere, or takes its time. A guess. */
#define HELD_NS 100000000u
#define LEAST_RISE 64u /* by that part of it for each fetch that takes longer */

static uint8_t *landing_of(const struct fault_thread *fault, const struct fetch *fetch)
{
	size_t number = (size_t)(fetch - fault->fetches);

	return fault->landing + number * FETCH_PAGES * PAGE_BYTES;
}

/* Still ours at this address, or has the map changed under it? */
static struct page *still_ours(struct fault_thread *fault, const struct fetch *fetch, uint32_t i)
{
	struct page *page = page_find(fault->engine->table, fetch->start + i * PAGE_BYTES);

	if (!page || page->state != PAGE_FETCHING ||
	    page->where != (uint32_t)(fetch - fault->fetches))
		return NULL;
	return page;
}

/* It is here, and waits in its landing place to be wanted. */
static bool is_parked(const struct fetch *fetch)
{
	return fetch->held && fetch->checked;
}

/* Its pages are out as before, and it is free. Nobody waits for it. Under map_lock. */
static void let_go(struct fault_thread *fault, struct fetch *fetch)
{
	for (uint32_t i = 0; i < fetch->pages; i++) {
		struct page *page = still_ours(fault, fetch, i);

		if (!page)
			continue;
		page->ahead = 0;
		page_set(fault->engine->table, page, PAGE_REMOTE);
	}
	if (!is_parked(fetch))
		fault->busy_fetches--;
	fault->held--;
	fetch->busy = fetch->held = false;
}

/* Of those that have arrived and are not wanted: the one that has been so for longest. */
static struct fetch *let_go_of_oldest(struct fault_thread *fault, uint64_t min_ns)
{
	struct fetch *oldest = NULL;

	for (unsigned i = 0; fault->held && i < FETCHES; i++) {
		struct fetch *fetch = &fault->fetches[i];

		if (is_parked(fetch) && (!oldest || fetch->parked_ns < oldest->parked_ns))
			oldest = fetch;
	}
	if (!oldest || (min_ns && clock_ns() - oldest->parked_ns < min_ns))
		return NULL;
	let_go(fault, oldest);
	return oldest;
}

static struct fetch *find_free(struct fault_thread *fault)
{
	for (unsigned i = 0; i < FETCHES; i++)
		if (!fault->fetches[i].busy)
			return &fault->fetches[i];
	return let_go_of_oldest(fault, 0);
}

static bool is_remote(struct engine *engine, uint64_t address)
{
	const struct page *page = page_find(engine->table, address);

	return page && page->state == PAGE_REMOTE;
}

/* The run of remote pages around `address` within what is worth it. */
static void choose_run(struct engine *engine, uint64_t address, uint64_t low_page, uint32_t count,
		       uint64_t *start, uint32_t *pages)
{
	uint64_t low = low_page << PAGE_SHIFT;
	uint64_t high = low + ((uint64_t)count << PAGE_SHIFT);
	uint64_t first = address, end = address + PAGE_BYTES;

	while (end < high && is_remote(engine, end))
		end += PAGE_BYTES;
	while (first > low && is_remote(engine, first - PAGE_BYTES))
		first -= PAGE_BYTES;
	*start = first;
	*pages = (uint32_t)((end - first) >> PAGE_SHIFT);
}

/* Lists the reads: consecutive slots make one. */
static void list_reads(struct fault_thread *fault, struct fetch *fetch)
{
	struct engine *engine = fault->engine;
	uint64_t number = (uint64_t)(fetch - fault->fetches);

	fetch->ios = 0;
	for (uint32_t i = 0; i < fetch->pages; i++) {
		const struct page *page = page_find(engine->table, fetch->start + i * PAGE_BYTES);
		struct store_io *last = fetch->ios ? &fetch->io[fetch->ios - 1] : NULL;

		if (last && store_io_extend(last, page->slot))
			continue;
		fetch->io[fetch->ios] = (struct store_io){
			.slot = page->slot,
			.count = 1,
			.buffer = landing_of(fault, fetch) + i * PAGE_BYTES,
			.cookie = number << IO_BITS | fetch->ios,
		};
		fetch->ios++;
	}
}

/* Claims the run around `address` within [first, first + count), as nobody's so far. */
static struct fetch *claim(struct fault_thread *fault, uint64_t address, uint64_t first,
			   uint32_t count)
{
	struct engine *engine = fault->engine;
	struct fetch *fetch = find_free(fault);

	if (!fetch)
		return NULL;
	choose_run(engine, address, first, count, &fetch->start, &fetch->pages);
	fetch->since_ns = 0;
	fetch->begun_ns = clock_ns();
	fetch->posted = fetch->done = fetch->placed = 0;
	fetch->status = 0;
	fetch->again = fetch->checked = fetch->held = false;
	fetch->busy = true;
	fault->busy_fetches++;
	list_reads(fault, fetch);
	for (uint32_t i = 0; i < fetch->pages; i++) {
		struct page *page = page_find(engine->table, fetch->start + i * PAGE_BYTES);

		page_set(engine->table, page, PAGE_FETCHING);
		page->where = (uint32_t)(fetch - fault->fetches) & PAGE_WHERE_MASK;
		page->ahead = 1;
	}
	return fetch;
}

static void count_ahead(struct engine *engine, uint32_t pages)
{
	atomic_fetch_add_explicit(&engine->stats->ahead, pages, memory_order_relaxed);
}

enum served fetch_begin(struct fault_thread *fault, uint64_t address, struct stream_advice advice,
			uint64_t since_ns)
{
	struct engine *engine = fault->engine;
	struct fetch *fetch = claim(fault, address, advice.first, advice.count);

	if (!fetch)
		return LATER;
	fetch->since_ns = since_ns;
	page_find(engine->table, address)->ahead = 0;
	count_ahead(engine, fetch->pages - 1);
	return SERVED;
}

/* ---- held ---- */

static void fetch_window_ahead(struct fault_thread *fault, uint64_t page, uint64_t first,
			       uint32_t count)
{
	uint64_t address = page << PAGE_SHIFT;
	struct fetch *fetch;

	if (!is_remote(fault->engine, address))
		return;
	if (fault->held == HELD_MAX && !let_go_of_oldest(fault, HELD_NS))
		return;
	fetch = claim(fault, address, first, count);
	if (!fetch)
		return;
	count_ahead(fault->engine, fetch->pages);
	fetch->held = true;
	fault->held++;
}

void fetch_ahead(struct fault_thread *fault, const struct stream_advice *advice)
{
	uint64_t distance = advice->count;

	if (!advice->is_steady ||
	    atomic_load_explicit(&fault->engine->recalls, memory_order_relaxed))
		return;
	if (advice->next_first < advice->next) /* down; what is below 0 is not remote */
		distance = -distance;
	/* The deeper ones leave room for the first one of others. */
	for (uint32_t i = 0; i <= fault->deeper && (!i || fault->held < HELD_MAX / 2); i++)
		fetch_window_ahead(fault, advice->next + i * distance,
				   advice->next_first + i * distance, advice->count);
}

/*
 * One that is wanted and not here yet should have been asked for earlier, by a window; one that has
 * been here for longer than the program takes to go through two could have been asked for later.
 */
static void learn(struct fault_thread *fault, const struct fetch *fetch, uint64_t now)
{
	if (!is_parked(fetch)) {
		if (fault->deeper < DEEPER_MAX)
			fault->deeper++;
	} else if (fault->deeper && now - fetch->parked_ns > 2 * (now - fault->wanted_ns)) {
		fault->deeper--;
	}
	fault->wanted_ns = now;
}

bool fetch_want(struct fault_thread *fault, const struct page *page, uint64_t since_ns)
{
	struct fetch *fetch = &fault->fetches[page->where];

	if (!fetch->held)
		return false;
	learn(fault, fetch, clock_ns());
	if (is_parked(fetch))
		fault->busy_fetches++;
	fault->held--;
	fetch->held = false;
	fetch->since_ns = since_ns;
	return true;
}

static void park(struct fault_thread *fault, struct fetch *fetch)
{
	fetch->parked_ns = clock_ns();
	fault->busy_fetches--;
}

/* ---- what arrives ---- */

static void finish(struct fault_thread *fault, struct fetch *fetch)
{
	struct stats_page *stats = fault->engine->stats;

	if (fetch->since_ns)
		hist_add(&stats->major_ns, clock_ns() - fetch->since_ns);
	fetch->busy = false;
	fault->busy_fetches--;
}

/* Checks what arrived against what was sent. */
static bool all_right(struct fault_thread *fault, struct fetch *fetch)
{
	struct engine *engine = fault->engine;
	const uint8_t *landing = landing_of(fault, fetch);

	for (uint32_t i = 0; i < fetch->pages; i++) {
		const struct page *page = still_ours(fault, fetch, i);

		if (!page ||
		    hash128_equal(page->hash, hash128_of(landing + i * PAGE_BYTES, PAGE_BYTES)))
			continue;
		atomic_fetch_add(&engine->stats->corrupt, 1);
		if (fetch->again) {
			fetch->status = -EBADMSG;
			engine_end(engine, "a donor returned wrong bytes twice for the page at",
				   fetch->start + i * PAGE_BYTES);
			return false;
		}
		fetch->again = true;
		fetch->posted = fetch->done = 0;
		return false;
	}
	return true;
}

/* How many pages from `i` on are still ours, or (the other way round) are not. */
static uint32_t run_length(struct fault_thread *fault, const struct fetch *fetch, uint32_t i,
			   bool ours)
{
	uint32_t n = 0;

	while (i + n < fetch->pages && !!still_ours(fault, fetch, i + n) == ours)
		n++;
	return n;
}

static void now_resident(struct fault_thread *fault, struct fetch *fetch, uint32_t i, uint32_t n)
{
	struct engine *engine = fault->engine;

	engine_lock(engine);
	for (; n--; i++) {
		struct page *page = still_ours(fault, fetch, i);

		engine_now_resident(engine, page);
	}
	engine_unlock(engine);
}

/*
 * Places what is left of the fetch. Only this thread changes pages that are FETCHING, so between
 * looking and copying nothing changes but the kernel's map, and then it says EAGAIN.
 */
static enum served place(struct fault_thread *fault, struct fetch *fetch)
{
	struct engine *engine = fault->engine;
	const uint8_t *landing = landing_of(fault, fetch);

	if (!event_is_settled(fault))
		return LATER;
	while (fetch->placed < fetch->pages) {
		uint32_t i = fetch->placed;
		uint32_t n = run_length(fault, fetch, i, true);
		uint64_t start = fetch->start + i * PAGE_BYTES;
		uint64_t copied;
		int err;

		if (!n) { /* who waits for a page that is not there any more faults again */
			n = run_length(fault, fetch, i, false);
			uffd_wake(engine->uffd, start, n * PAGE_BYTES);
			fetch->placed += n;
			continue;
		}
		err = uffd_copy(engine->uffd, start, landing + i * PAGE_BYTES, n * PAGE_BYTES,
				&copied);
		n = (uint32_t)(copied >> PAGE_SHIFT);
		if (err == -EEXIST) { /* cannot be: what was out is in; do not hide it */
			engine_end(engine, "a page that was out was found in memory at",
				   start + copied);
			return LATER;
		}
		now_resident(fault, fetch, i, n);
		fetch->placed += n;
		if (err) /* EAGAIN: the change is read in the next turn; so is the unmapping behind
			    ENOENT */
			return LATER;
	}
	return SERVED;
}

/*
 * The shortest of late. The average would say of a host that is short of CPUs that its wire is
 * slow, and looking for longer makes it shorter of them.
 */
static void note_time(struct fault_thread *fault, const struct fetch *fetch)
{
	uint64_t took = clock_ns() - fetch->begun_ns;

	if (!fault->least_ns || took < fault->least_ns)
		fault->least_ns = took;
	else
		fault->least_ns += fault->least_ns / LEAST_RISE;
}

static unsigned take_completions(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;
	struct store_done done[DONE_BATCH];
	unsigned n = store_poll(engine->store, STORE_READS, done, DONE_BATCH);

	for (unsigned i = 0; i < n; i++) {
		struct fetch *fetch;

		if (done[i].cookie == FETCH_EXTRA) {
			if (done[i].status)
				heir_lost(fault);
			fault->heirs.done++;
			continue;
		}
		fetch = &fault->fetches[done[i].cookie >> IO_BITS];
		fetch->done++;
		if (done[i].status)
			fetch->status = done[i].status;
		if (fetch->done == fetch->ios)
			note_time(fault, fetch);
	}
	return n;
}

static unsigned post(struct fault_thread *fault, struct fetch *fetch)
{
	unsigned n = store_post(fault->engine->store, STORE_READS, &fetch->io[fetch->posted],
				fetch->ios - fetch->posted);

	fetch->posted += n;
	return n;
}

/* Who wants it asks again. */
static void give_up(struct fault_thread *fault, struct fetch *fetch)
{
	engine_lock(fault->engine);
	let_go(fault, fetch);
	engine_unlock(fault->engine);
}

static unsigned advance(struct fault_thread *fault, struct fetch *fetch)
{
	unsigned did = 0;

	if (fetch->posted < fetch->ios)
		did += post(fault, fetch);
	if (fetch->done < fetch->ios)
		return did;
	if (fetch->status && fetch->held) {
		give_up(fault, fetch);
		return did + 1;
	}
	if (fetch->status) {
		engine_end(fault->engine, "a donor is gone that held the page at", fetch->start);
		return did;
	}
	if (!fetch->checked && !all_right(fault, fetch))
		return did + 1;
	fetch->checked = true;
	if (fetch->held) {
		park(fault, fetch);
		return did + 1;
	}
	if (place(fault, fetch) == LATER)
		return did;
	finish(fault, fetch);
	return did + 1;
}

unsigned fetch_post(struct fault_thread *fault)
{
	unsigned did = 0;

	for (unsigned i = 0; fault->busy_fetches && i < FETCHES; i++)
		if (fault->fetches[i].busy && fault->fetches[i].posted < fault->fetches[i].ios)
			did += post(fault, &fault->fetches[i]);
	return did;
}

unsigned fetch_turn(struct fault_thread *fault)
{
	unsigned did;

	if (!fault->busy_fetches)
		return 0;
	did = take_completions(fault);
	for (unsigned i = 0; i < FETCHES; i++)
		if (fault->fetches[i].busy && !is_parked(&fault->fetches[i]))
			did += advance(fault, &fault->fetches[i]);
	return did;
}

unsigned fetch_wait_turn(struct fault_thread *fault)
{
	unsigned did = fetch_post(fault);

	return did + take_completions(fault);
}
