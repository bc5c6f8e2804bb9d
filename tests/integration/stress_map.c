/* Plain reads and writes, and what changes the map. */
#include "tests/integration/stress.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define AREA_MAX_PAGES 2048u

static void *map(size_t pages, int flags)
{
	void *at = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	stress_must(at != MAP_FAILED, "mmap");
	return at;
}

static void unmap(const void *at, size_t pages)
{
	stress_must(munmap((void *)(uintptr_t)at, pages * PAGE_BYTES) == 0, "munmap");
}

/* ---- plain ---- */

static void read_page(struct worker *worker)
{
	const struct area *area = area_pick(worker);

	page_look(worker, area, page_pick(worker, area));
}

static void read_run(struct worker *worker)
{
	run_look(worker, run_pick(worker, STRESS_RUN_PAGES));
}

/* Written without having been read: the old content must not come back over the new. */
static void write_page(struct worker *worker)
{
	struct area *area = area_pick(worker);

	page_put(worker, area, page_pick(worker, area));
}

static void write_run(struct worker *worker)
{
	run_put(worker, run_pick(worker, STRESS_RUN_PAGES));
}

static void read_and_write(struct worker *worker)
{
	struct area *area = area_pick(worker);
	size_t page = page_pick(worker, area);

	page_look(worker, area, page);
	page_put(worker, area, page);
}

const struct operation stress_plain[] = {
	{"read a page", read_page, 300},	 {"read a run", read_run, 60},
	{"write a page", write_page, 100},	 {"write a run", write_run, 50},
	{"rewrite a page", read_and_write, 200}, {NULL, NULL, 0},
};

/* ---- mappings that come and go ---- */

static void unmap_area(struct worker *worker)
{
	struct area *area = area_pick(worker);

	unmap(area->at, area->pages);
	area_forget(worker, area);
}

/* A page is written at once: parts of it may then be joined again after they have been apart. */
void stress_map_area(struct worker *worker)
{
	size_t pages = stress_size(worker, AREA_MAX_PAGES);
	struct area *area;
	void *at;

	while (worker->area_count == STRESS_AREAS ||
	       (worker->area_count && worker->pages + pages > worker->max_pages))
		unmap_area(worker);
	at = map(pages, stress_one_in(worker, 4) ? MAP_NORESERVE : 0);
	area = area_add(worker, at, pages);
	page_put(worker, area, 0);
	run_put(worker, run_of(worker, area, AREA_MAX_PAGES));
}

/* What is behind the hole becomes an area of its own, or goes, too. */
static void unmap_part(struct worker *worker)
{
	struct area *area = area_pick(worker), *rest;
	struct run run;
	size_t behind;

	if (area->pages < 3)
		return;
	run = run_of(worker, area, area->pages - 2);
	run.first += run.first == 0;
	behind = area->pages - run.first - run.pages;
	unmap(run_start(run), run.pages);
	rest = behind ? area_add(worker, area_page(area, area->pages - behind), behind) : NULL;
	if (rest) {
		memcpy(rest->shadow, area->shadow + area->pages - behind,
		       behind * sizeof(rest->shadow[0]));
		rest->is_split = area->is_split;
		page_look(worker, rest, 0);
	} else if (behind) {
		unmap(area_page(area, area->pages - behind), behind);
	}
	area_resize(worker, area, area->at, run.first);
	page_look(worker, area, run.first - 1);
}

static void map_over(struct worker *worker)
{
	struct run run = run_pick(worker, STRESS_RUN_PAGES);

	stress_must(mmap(run_start(run), run.pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == run_start(run),
		    "mmap over");
	run_zero(run);
	run.area->is_split = true;
	run_look(worker, run);
}

/* ---- mremap ---- */

/* NULL if the one that was picked is several mappings. */
static struct area *pick_whole(struct worker *worker)
{
	struct area *area = area_pick(worker);

	return area->is_split ? NULL : area;
}

/* NULL if the kernel holds the area for more than one mapping: that is counted, see stress.sh. */
static void *remap(struct worker *worker, struct area *area, size_t pages, int flags, void *to)
{
	void *at = mremap(area->at, area->pages * PAGE_BYTES, pages * PAGE_BYTES, flags, to);

	if (at != MAP_FAILED)
		return at;
	stress_must(errno == EFAULT, "mremap");
	area->is_split = true;
	worker->refused++;
	return NULL;
}

static void grow(struct worker *worker)
{
	struct area *area = pick_whole(worker);
	size_t more = stress_size(worker, AREA_MAX_PAGES), old;
	void *at;

	if (!area || worker->pages + more > worker->max_pages)
		return;
	old = area->pages;
	at = remap(worker, area, old + more, MREMAP_MAYMOVE, NULL);
	if (!at)
		return;
	area_resize(worker, area, at, old + more);
	run_look(worker, (struct run){area, old, more < 8 ? more : 8});
	page_look(worker, area, stress_below(worker, old));
}

static void shrink(struct worker *worker)
{
	struct area *area = pick_whole(worker);
	size_t left;

	if (!area || area->pages < 2)
		return;
	left = 1 + stress_below(worker, area->pages - 1);
	if (!remap(worker, area, left, 0, NULL))
		return;
	area_resize(worker, area, area->at, left);
	page_look(worker, area, left - 1);
}

/* To where another mapping was, which goes. */
static void move(struct worker *worker)
{
	struct area *area = pick_whole(worker);
	void *to;

	if (!area)
		return;
	to = map(area->pages, 0);
	if (!remap(worker, area, area->pages, MREMAP_MAYMOVE | MREMAP_FIXED, to)) {
		unmap(to, area->pages);
		return;
	}
	area->at = to;
	page_look(worker, area, page_pick(worker, area));
}

/* The old addresses stay, and are zeros. */
static void move_and_stay(struct worker *worker)
{
	struct area *area = pick_whole(worker), *to;
	uint64_t *shadow;
	void *at;

	if (!area || worker->area_count == STRESS_AREAS ||
	    worker->pages + area->pages > worker->max_pages)
		return;
	at = remap(worker, area, area->pages, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (!at)
		return;
	to = area_add(worker, at, area->pages);
	shadow = to->shadow;
	to->shadow = area->shadow;
	area->shadow = shadow;
	area->is_split = true; /* its pages are anybody's now, not joined again */
	page_look(worker, area, page_pick(worker, area));
	page_look(worker, to, page_pick(worker, to));
}

const struct operation stress_map[] = {
	{"map", stress_map_area, 24},
	{"unmap", unmap_area, 8},
	{"unmap a part", unmap_part, 8},
	{"map over a part", map_over, 8},
	{"grow", grow, 10},
	{"shrink", shrink, 6},
	{"move", move, 10},
	{"move, and leave the mapping", move_and_stay, 6},
	{NULL, NULL, 0},
};
