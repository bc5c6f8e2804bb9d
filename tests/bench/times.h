/* Durations as a part of the JSON line that a benchmark prints. */
#ifndef TESTS_BENCH_TIMES_H
#define TESTS_BENCH_TIMES_H

#include "common/base/hist.h"

/*
 * An access that takes longer met more than a cold cache. Between the two: a miss in cache and TLB
 * takes 0.3 us here, the cheapest fault 1.5.
 */
#define TIMES_SLOW_NS 1000

/* Prints `, "name": {"count": …, "mean_ns": …, "p50_ns": … p90, p99, p999}`. */
void times_print(const char *name, const struct hist *hist);

#endif
