/* What each page must hold, and whether it does. */
#include "tests/integration/stress.h"

#include "tests/xorshift.h"

#include <stdlib.h>
#include <string.h>

size_t stress_below(struct worker *worker, size_t limit)
{
	return xorshift_next(&worker->random) % limit;
}

bool stress_one_in(struct worker *worker, unsigned n)
{
	return stress_below(worker, n) == 0;
}

size_t stress_size(struct worker *worker, size_t max)
{
	size_t limit = 1;

	while (limit < max && !stress_one_in(worker, 8))
		limit *= 2;
	return 1 + stress_below(worker, limit < max ? limit : max);
}

/* ---- content ---- */

/* Some pages are one word repeated, some nearly: what an engine treats specially must be met. */
uint64_t stress_word(uint64_t number, size_t word)
{
	uint64_t seed = number * 0xbf58476d1ce4e5b9u;

	seed = (seed ^ seed >> 29) * 0x94d049bb133111ebu | 1;
	switch (seed >> 60) {
	case 0:
		return seed;
	case 1:
		return word == STRESS_WORDS - 1 ? seed + 2 : seed;
	default:
		return (seed + word) * 0x9e3779b97f4a7c15u;
	}
}

uint64_t stress_number(struct worker *worker)
{
	return (uint64_t)worker->id << 32 | (uint32_t)++worker->writes;
}

void page_put(struct worker *worker, struct area *area, size_t page)
{
	uint64_t number = stress_number(worker);
	uint64_t *words = area_page(area, page);

	for (size_t i = 0; i < STRESS_WORDS; i++)
		words[i] = stress_word(number, i);
	area->shadow[page] = number;
}

static NORETURN void say_wrong(const struct area *area, size_t page, size_t word, uint64_t got,
			       uint64_t want)
{
	const volatile uint64_t *place = area_page(area, page) + word;
	size_t wrong = 0;

	for (size_t i = 0; i < STRESS_WORDS; i++)
		wrong += area_page(area, page)[i] !=
			 (area->shadow[page] ? stress_word(area->shadow[page] & ~STRESS_FREED, i)
					     : 0);
	stress_fail(
		"page %zu of %zu at %p, word %zu is %#llx, not %#llx (write %#llx); %zu words are "
		"wrong; a moment later %#llx",
		page, area->pages, (const void *)area_page(area, page), word,
		(unsigned long long)got, (unsigned long long)want,
		(unsigned long long)area->shadow[page], wrong, (unsigned long long)*place);
}

void page_compare(struct worker *worker, const struct area *area, size_t page, const uint64_t *copy)
{
	uint64_t number = area->shadow[page] & ~STRESS_FREED;
	bool freed = area->shadow[page] & STRESS_FREED, zeros = !number;

	for (size_t i = 0; i < STRESS_WORDS; i++) {
		uint64_t got = copy[i], want;

		zeros = zeros || (freed && !got); /* it may go while we look */
		want = zeros ? 0 : stress_word(number, i);
		if (UNLIKELY(got != want))
			say_wrong(area, page, i, got, want);
	}
	worker->checks++;
}

void page_look(struct worker *worker, const struct area *area, size_t page)
{
	page_compare(worker, area, page, area_page(area, page));
}

void run_put(struct worker *worker, struct run run)
{
	for (size_t i = 0; i < run.pages; i++)
		page_put(worker, run.area, run.first + i);
}

void run_look(struct worker *worker, struct run run)
{
	for (size_t i = 0; i < run.pages; i++)
		page_look(worker, run.area, run.first + i);
}

void run_zero(struct run run)
{
	memset(run.area->shadow + run.first, 0, run.pages * sizeof(run.area->shadow[0]));
}

void areas_look(struct worker *worker)
{
	for (unsigned i = 0; i < worker->area_count; i++)
		run_look(worker, (struct run){&worker->areas[i], 0, worker->areas[i].pages});
}

/* ---- areas ---- */

struct area *area_pick(struct worker *worker)
{
	if (!worker->area_count)
		stress_map_area(worker);
	return &worker->areas[stress_below(worker, worker->area_count)];
}

size_t page_pick(struct worker *worker, const struct area *area)
{
	return stress_below(worker, area->pages);
}

struct run run_of(struct worker *worker, struct area *area, size_t max)
{
	size_t pages = stress_size(worker, max < area->pages ? max : area->pages);

	return (struct run){area, stress_below(worker, area->pages - pages + 1), pages};
}

struct run run_pick(struct worker *worker, size_t max)
{
	return run_of(worker, area_pick(worker), max);
}

struct area *area_add(struct worker *worker, void *at, size_t pages)
{
	struct area *area = &worker->areas[worker->area_count];

	if (worker->area_count == STRESS_AREAS)
		return NULL;
	*area = (struct area){at, pages, calloc(pages, sizeof(area->shadow[0])), false};
	stress_must(area->shadow, "calloc");
	worker->area_count++;
	worker->pages += pages;
	return area;
}

void area_forget(struct worker *worker, struct area *area)
{
	worker->pages -= area->pages;
	free(area->shadow);
	*area = worker->areas[--worker->area_count];
}

void area_resize(struct worker *worker, struct area *area, void *at, size_t pages)
{
	uint64_t *shadow = realloc(area->shadow, pages * sizeof(shadow[0]));

	stress_must(shadow, "realloc");
	if (pages > area->pages)
		memset(shadow + area->pages, 0, (pages - area->pages) * sizeof(shadow[0]));
	worker->pages += pages - area->pages;
	area->shadow = shadow;
	area->at = at;
	area->pages = pages;
}
