#include "pager/ctl/format.h"

#include "common/base/compiler.h"

#include <stdio.h>

/* One digit after the point, rounded; carries into the next unit instead of saying 1024.0. */
static const char *format_scaled(uint64_t value, unsigned step, const char *const *units,
				 unsigned count, char out[FORMAT_BYTES])
{
	double scaled = (double)value;
	unsigned unit = 0;

	while (unit + 1 < count && scaled + (unit ? 0.05 : 0) >= (double)step) {
		scaled /= (double)step;
		unit++;
	}
	snprintf(out, FORMAT_BYTES, "%.*f %s", unit ? 1 : 0, scaled, units[unit]);
	return out;
}

const char *format_size(uint64_t bytes, char out[FORMAT_BYTES])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

	return format_scaled(bytes, 1024, units, ARRAY_LEN(units), out);
}

const char *format_duration(uint64_t ns, char out[FORMAT_BYTES])
{
	static const char *const units[] = {"ns", "us", "ms", "s"};

	return format_scaled(ns, 1000, units, ARRAY_LEN(units), out);
}

void format_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

uint64_t format_percentile(const struct hist *hist, double share)
{
	uint64_t edge = hist_percentile(hist, share);
	uint64_t max = atomic_load_explicit(&hist->max, memory_order_relaxed);

	return edge < max ? edge : max;
}
