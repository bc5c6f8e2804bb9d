#include "pager/heir.h"

#include "common/base/clock.h"
#include "pager/maps.h"
#include "pager/recall.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

/* For one page. Its threads may be kept from the CPU in the middle of a change; generous. */
#define GIVE_NS 5000000000u

#define WHY "a child process could not be given its memory: "

/* ---- where it belongs ---- */

uint64_t heir_follow(const struct heir *to, uint64_t address)
{
	for (uint32_t i = 0; i < to->changes; i++) {
		const struct uffd_event *change = &to->change[i];

		if (change->kind == UFFD_REMAP) {
			if (address >= change->remap.from &&
			    address < change->remap.from + change->remap.bytes)
				address = address - change->remap.from + change->remap.to;
		} else if (address >= change->range.start && address < change->range.end) {
			return 0;
		}
	}
	return address;
}

/* The first reason is the one that is said. */
static void fail(struct inheritance *to, const char *why)
{
	if (!to->why)
		to->why = why;
}

/* What it had, and had not, its child has and has not. */
static void add_descendant(struct inheritance *to, int child)
{
	if (to->count >= HEIRS)
		fail(to, WHY "it made too many itself before it had all");
	if (to->count > HEIRS) {
		close(child);
		return;
	}
	to->heirs[to->count] = to->heirs[0];
	to->heirs[to->count++].child = child;
}

/* Its faults are served by what is placed, or when its descriptor is closed. */
static void note(struct inheritance *to, const struct uffd_event *event)
{
	struct heir *heir = &to->heirs[0];

	if (event->kind == UFFD_FORK) {
		add_descendant(to, event->child);
	} else if (event->kind == UFFD_REMAP || event->kind == UFFD_UNMAP ||
		   event->kind == UFFD_REMOVE) {
		if (heir->changes == HEIR_CHANGES)
			fail(to, WHY "it changed its map too often before it had all");
		else
			heir->change[heir->changes++] = *event;
	}
}

/* Returns whether there was something to read. */
static bool read_changes(struct inheritance *to)
{
	struct uffd_event events[UFFD_READ_MAX];
	int n = uffd_read(to->heirs[0].child, events, UFFD_READ_MAX);

	for (int i = 0; i < n; i++)
		note(to, &events[i]);
	return n > 0;
}

/*
 * ENOENT, ESRCH: the child has dropped it, or ended. EEXIST: the one that made this child had got
 * it already. A mapping that has gone a moment ago may not have been reported yet.
 */
static void give(struct inheritance *to, uint64_t address, const void *from)
{
	const struct heir *heir = &to->heirs[0];
	uint64_t since = clock_ns(), at, done;
	int err;

	while (!to->why && (at = heir_follow(heir, address))) {
		err = uffd_copy(heir->child, at, from, PAGE_BYTES, &done);
		if (err == -ENOENT && uffd_is_changing(heir->child, at))
			err = -EAGAIN;
		if (err == -ENOMEM)
			fail(to, WHY "there is no room left");
		if (err != -EAGAIN)
			return;
		if (!read_changes(to))
			sched_yield();
		if (clock_ns() - since > GIVE_NS)
			fail(to, WHY "its map keeps changing");
	}
}

/* ---- what it shall not have ---- */

static _Atomic bool any_wiped;

void heir_expect_wiped(void)
{
	atomic_store(&any_wiped, true);
}

static void add_wiped(void *arg, const struct maps_entry *entry)
{
	struct inheritance *to = arg;

	if (to->wiped_count && to->wiped[to->wiped_count - 1].end == entry->start)
		to->wiped[to->wiped_count - 1].end = entry->end;
	else if (to->wiped_count == HEIR_WIPED)
		fail(to, WHY "too many of its mappings are to be empty (MADV_WIPEONFORK)");
	else
		to->wiped[to->wiped_count++] = (struct region){entry->start, entry->end};
}

static void list_wiped(struct fault_thread *fault)
{
	struct inheritance *to = &fault->heirs;

	to->wiped_count = 0;
	if (atomic_load(&any_wiped) &&
	    maps_each_wiped(fault->engine->smaps_fd, fault->heir_maps, add_wiped, to))
		fail(to, WHY "/proc/self/smaps cannot be read");
}

static bool is_wiped(const struct inheritance *to, uint64_t address)
{
	for (uint32_t i = 0; i < to->wiped_count; i++)
		if (address >= to->wiped[i].start && address < to->wiped[i].end)
			return true;
	return false;
}

/* ---- what it has to get ---- */

void heir_lost(struct fault_thread *fault)
{
	fail(&fault->heirs, WHY "a donor is gone that held a part of it");
}

/* Lists the reads: consecutive slots make one. */
static void list_reads(struct fault_thread *fault)
{
	struct inheritance *to = &fault->heirs;

	to->ios = 0;
	for (uint32_t i = 0; i < to->pages; i++) {
		struct store_io *last = to->ios ? &to->io[to->ios - 1] : NULL;
		uint32_t slot = to->slots[i];

		if (last && store_io_extend(last, slot))
			continue;
		to->io[to->ios++] = (struct store_io){
			.slot = slot,
			.count = 1,
			.buffer = fault->extra + i * PAGE_BYTES,
			.cookie = FETCH_EXTRA,
		};
	}
}

/* Reads what is listed; completions of other fetches are only noted meanwhile. */
static void read_listed(struct fault_thread *fault)
{
	struct inheritance *to = &fault->heirs;
	uint32_t posted = 0;

	list_reads(fault);
	to->done = 0;
	while (to->done < to->ios) {
		if (posted < to->ios)
			posted += store_post(fault->engine->store, STORE_READS, &to->io[posted],
					     to->ios - posted);
		if (!fetch_wait_turn(fault))
			sched_yield();
	}
}

static void give_listed(struct fault_thread *fault)
{
	struct inheritance *to = &fault->heirs;

	if (!to->why && to->pages)
		read_listed(fault);
	for (uint32_t i = 0; i < to->pages && !to->why; i++) {
		const uint8_t *from = fault->extra + i * PAGE_BYTES;
		const struct page *page = page_find(fault->engine->table, to->addresses[i]);

		if (page && hash128_equal(hash128_of(from, PAGE_BYTES), page->hash))
			give(to, to->addresses[i], from);
		else
			fail(to, WHY "a donor returned wrong bytes");
	}
	to->pages = 0;
}

static void inherit(void *arg, struct page *page, uint64_t address)
{
	struct fault_thread *fault = arg;
	struct inheritance *to = &fault->heirs;

	if (!recall_must_come(page) || to->why || is_wiped(to, address))
		return;
	switch ((enum page_state)page->state) {
	case PAGE_STAGED:
		if (remap_is_coming(&fault->engine->remap, page->where) &&
		    !remap_has_come(fault->engine, page->where))
			break;
		give(to, address,
		     (const void *)(uintptr_t)stage_address(&fault->engine->stage, page->where));
		break;
	case PAGE_FILLED:
		give(to, address, place_fill(fault, page->hash.low));
		break;
	case PAGE_REMOTE:
	case PAGE_FETCHING:
		to->addresses[to->pages] = address;
		to->slots[to->pages] = page->slot;
		if (++to->pages == EXTRA_PAGES)
			give_listed(fault);
		break;
	default:
		break;
	}
}

/* ---- the end ---- */

/* Rather SIGBUS than zeros, also when this process has ended. */
static void poison(void *arg, struct page *page, uint64_t address)
{
	struct fault_thread *fault = arg;
	struct inheritance *to = &fault->heirs;
	int err = recall_must_come(page) && !is_wiped(to, address) ? -EAGAIN : 0;
	uint64_t at;

	for (unsigned tries = 0; err == -EAGAIN && tries < 1000; tries++) {
		at = heir_follow(&to->heirs[0], address);
		err = at ? uffd_poison(to->heirs[0].child, at, PAGE_BYTES) : 0;
		if (err == -EAGAIN)
			(void)read_changes(to);
	}
}

/* What is missing when the descriptor is closed was never touched: zeros, by the kernel. */
static void fill_first(struct fault_thread *fault)
{
	struct inheritance *to = &fault->heirs;

	to->pages = 0;
	if (!to->why) {
		engine_each_page(fault->engine, inherit, fault);
		give_listed(fault);
	}
	if (to->why)
		engine_each_page(fault->engine, poison, fault);
	close(to->heirs[0].child);
	to->heirs[0] = to->heirs[--to->count];
}

void heir_fill(struct fault_thread *fault, int child)
{
	struct inheritance *to = &fault->heirs;

	atomic_fetch_add(&fault->engine->forks, 1);
	to->why = NULL;
	to->count = 1;
	to->heirs[0].child = child;
	to->heirs[0].changes = 0;
	list_wiped(fault);
	while (to->count)
		fill_first(fault);
	if (to->why)
		engine_end(fault->engine, to->why, 0);
}
