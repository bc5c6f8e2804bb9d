#include "tests/bench/times.h"

#include <stdio.h>

typedef unsigned long long ull; /* what printf calls uint64_t */

void times_print(const char *name, const struct hist *hist)
{
	uint64_t count = hist_count(hist);

	printf(", \"%s\": {\"count\": %llu, \"mean_ns\": %llu", name, (ull)count,
	       (ull)(count ? hist->sum / count : 0));
	printf(", \"p50_ns\": %llu, \"p90_ns\": %llu, \"p99_ns\": %llu, \"p999_ns\": %llu}",
	       (ull)hist_percentile(hist, 0.5), (ull)hist_percentile(hist, 0.9),
	       (ull)hist_percentile(hist, 0.99), (ull)hist_percentile(hist, 0.999));
}
