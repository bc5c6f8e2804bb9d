/*
 * A histogram of durations: octaves of 16 steps, so a value is known to 1/16. One thread adds,
 * any thread may read at any time (in shared memory too) and sees counts that are a moment old.
 * Adding costs a few nanoseconds and never fails.
 */
#ifndef COMMON_BASE_HIST_H
#define COMMON_BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

#define HIST_STEPS 16
#define HIST_OCTAVES 40 /* to 2^43 ns, over two hours; longer counts as that */

struct hist {
	_Atomic uint64_t counts[HIST_OCTAVES * HIST_STEPS];
	_Atomic uint64_t sum; /* of all values, for the mean */
	_Atomic uint64_t max;
};

void hist_add(struct hist *hist, uint64_t value);
uint64_t hist_count(const struct hist *hist);

/* Upper edge of the step that holds the given share (0 < share <= 1); 0 if there is nothing. */
uint64_t hist_percentile(const struct hist *hist, double share);

/* Adds what `from` holds to `into`. */
void hist_merge(struct hist *into, const struct hist *from);

#endif
