#include "pager/budget.h"

#include "common/base/compiler.h"

/*
 * Shares of the budget. Headroom is what a batch of take-outs works within: large enough that
 * faults rarely wait, small against the budget. The staging area is the second chance of S3-FIFO (a
 * tenth there). Both found by trial; see docs/performance.md.
 */
#define HEADROOM_SHARE 32
#define HEADROOM_MIN 256
#define HEADROOM_MAX 8192
#define STAGED_SHARE 8
#define STAGED_MIN 256
#define STAGED_MAX 16384

/*
 * What a process may have beyond its budget and an eighth of that: 32 MiB of growth between two
 * looks, and the engine's books, buffers and page tables. The latter by looking, 10 MiB, and room.
 */
#define BEYOND_BYTES (48ull << 20)

/* Pages a microsecond, times 1024: two threads clearing huge pages at 5 GB/s each. */
#define FASTEST_GROWTH 2500
#define SHORTEST_NS 1000000

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

struct budget budget_of(uint64_t bytes)
{
	struct budget budget = {.pages = bytes >> PAGE_SHIFT};
	uint64_t headroom = clamp(budget.pages / HEADROOM_SHARE, HEADROOM_MIN, HEADROOM_MAX);

	budget.low = budget.pages - headroom;
	budget.high = budget.pages - headroom / 2;
	budget.hard = budget.pages + headroom;
	budget.near = budget.pages / 2;
	budget.adopt = budget.pages / 8 * 7;
	if (budget.adopt > budget.pages - 2 * headroom)
		budget.adopt = budget.pages - 2 * headroom;
	budget.staged = (uint32_t)clamp(budget.pages / STAGED_SHARE, STAGED_MIN, STAGED_MAX);
	budget.most_staged = budget.staged;
	return budget;
}

void budget_change(struct budget *budget, uint64_t bytes)
{
	struct budget next = budget_of(bytes);

	budget->pages = next.pages;
	budget->low = next.low;
	budget->high = next.high;
	budget->hard = next.hard;
	budget->near = budget->is_limit ? next.pages / 4 : next.near;
	budget->adopt = budget->is_limit ? next.pages / 2 : next.adopt;
	budget->staged = next.staged < budget->most_staged ? next.staged : budget->most_staged;
}

void budget_make_limit(struct budget *budget)
{
	budget->is_limit = true;
	budget_change(budget, budget->pages << PAGE_SHIFT);
}

uint64_t budget_within(uint64_t bytes)
{
	return bytes > BEYOND_BYTES ? (bytes - BEYOND_BYTES) / 9 * 8 : 0;
}

uint64_t budget_pause(uint64_t used, uint64_t mark, uint64_t longest_ns)
{
	uint64_t left = used < mark ? mark - used : 0;

	/* 2500/1024 pages a microsecond */
	return clamp(left * 1024 / FASTEST_GROWTH * 1000, SHORTEST_NS, longest_ns);
}
