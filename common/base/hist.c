#include "common/base/hist.h"

#include "common/base/compiler.h"

#include <stdbool.h>

/*
 * Values below 16 have a step each. From there on an octave [2^k, 2^(k+1)) has 16 equal steps,
 * chosen by the four bits after the highest one:
 *
 *      value  0 … 15 │ 16 … 31 │ 32 … 63 │ 64 … 127 │ …
 *      octave    0   │    1    │    2    │     3    │
 *      width     1   │    1    │    2    │     4    │
 */
#define STEP_BITS 4
#define STEPS_ALL (HIST_OCTAVES * HIST_STEPS)

_Static_assert(HIST_STEPS == 1 << STEP_BITS, "steps are chosen by STEP_BITS bits");

static unsigned step_of(uint64_t value)
{
	unsigned octave, step;

	if (value < HIST_STEPS)
		return (unsigned)value;
	octave = 63 - (unsigned)__builtin_clzll(value) - STEP_BITS + 1;
	if (octave >= HIST_OCTAVES)
		return STEPS_ALL - 1;
	step = (unsigned)(value >> (octave - 1)) & (HIST_STEPS - 1);
	return octave * HIST_STEPS + step;
}

static uint64_t upper_edge(unsigned index)
{
	unsigned octave = index / HIST_STEPS;
	uint64_t step = index % HIST_STEPS;

	if (octave == 0)
		return step;
	return ((HIST_STEPS + step + 1) << (octave - 1)) - 1;
}

/* One thread adds, so a plain load and store do; a locked add would cost ten times as much. */
static void grow(_Atomic uint64_t *counter, uint64_t by)
{
	uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, old + by, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *max, uint64_t value)
{
	if (value > atomic_load_explicit(max, memory_order_relaxed))
		atomic_store_explicit(max, value, memory_order_relaxed);
}

static uint64_t look(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void hist_add(struct hist *hist, uint64_t value)
{
	grow(&hist->counts[step_of(value)], 1);
	grow(&hist->sum, value);
	raise_to(&hist->max, value);
}

uint64_t hist_count(const struct hist *hist)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < STEPS_ALL; i++)
		count += look(&hist->counts[i]);
	return count;
}

/* The how-manieth value of `count` has `share` of them at or below it: 1 to count. */
static uint64_t rank_of(uint64_t count, double share)
{
	double exact = share * (double)count;
	uint64_t rank;

	if (exact <= 1)
		return 1;
	if (exact >= (double)count)
		return count;
	rank = (uint64_t)exact;
	return (double)rank < exact ? rank + 1 : rank;
}

uint64_t hist_percentile(const struct hist *hist, double share)
{
	uint64_t count = hist_count(hist);
	uint64_t rank, seen = 0;

	if (count == 0)
		return 0;
	rank = rank_of(count, share);
	for (unsigned i = 0; i < STEPS_ALL; i++) {
		seen += look(&hist->counts[i]);
		if (seen >= rank)
			return upper_edge(i);
	}
	return upper_edge(STEPS_ALL - 1);
}

void hist_merge(struct hist *into, const struct hist *from)
{
	for (unsigned i = 0; i < STEPS_ALL; i++)
		grow(&into->counts[i], look(&from->counts[i]));
	grow(&into->sum, look(&from->sum));
	raise_to(&into->max, look(&from->max));
}
