#include "pager/placement.h"

#include <string.h>

#define SAMPLE_NS (50u * 1000 * 1000)

uint64_t placement_demand(struct placement_demand *demand, uint64_t now_ns, uint64_t taken)
{
	uint64_t recent = taken - demand->samples[ARRAY_LEN(demand->samples) - 1];

	if (now_ns - demand->since_ns >= SAMPLE_NS) {
		memmove(&demand->samples[1], &demand->samples[0],
			sizeof(demand->samples) - sizeof(demand->samples[0]));
		demand->samples[0] = taken;
		demand->since_ns = now_ns;
	}
	return recent;
}

uint64_t placement_target(uint64_t recent)
{
	return recent > PLACEMENT_AHEAD / 2 ? 2 * recent : PLACEMENT_AHEAD;
}

/* Slots at hand when everything asked for has come. */
static uint64_t expected(const struct placement_donor *donor)
{
	return donor->free + (uint64_t)donor->asked * donor->slab_slots;
}

static bool has_room(const struct placement_donor *donor)
{
	return donor->slab_slots && donor->room > donor->asked;
}

static bool is_better(const struct placement_donor *a, const struct placement_donor *b)
{
	if (expected(a) != expected(b))
		return expected(a) < expected(b);
	return a->room - a->asked > b->room - b->asked;
}

static struct placement_donor *next_donor(struct placement_donor *donors, unsigned n)
{
	struct placement_donor *best = NULL;
	unsigned i;

	for (i = 0; i < n; i++) {
		if (has_room(&donors[i]) && (!best || is_better(&donors[i], best)))
			best = &donors[i];
	}
	return best;
}

void placement_share(struct placement_donor *donors, unsigned n, uint64_t target)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		sum += expected(&donors[i]);
	while (sum < target) {
		struct placement_donor *donor = next_donor(donors, n);

		if (!donor)
			break;
		donor->asked++;
		sum += donor->slab_slots;
	}
}

bool placement_is_full(const struct placement_donor *donors, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (expected(&donors[i]) || has_room(&donors[i]))
			return false;
	}
	return true;
}

unsigned placement_surplus(const struct placement_donor *donors, const uint32_t *leased,
			   const bool *tried, unsigned n, uint64_t target)
{
	unsigned best = n, i;
	uint64_t sum = 0;

	for (i = 0; i < n; i++) {
		sum += expected(&donors[i]);
		if (tried[i] || leased[i] <= PLACEMENT_KEEP ||
		    donors[i].free < donors[i].slab_slots)
			continue;
		if (best == n || donors[i].free > donors[best].free)
			best = i;
	}
	if (best < n && sum - donors[best].slab_slots < 2 * target)
		return n;
	return best;
}
