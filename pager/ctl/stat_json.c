#include "pager/ctl/stat.h"

#include "pager/ctl/format.h"

/* Counters of 64 bits; JSON's integers are signed, and 2^63 bytes are nowhere near. */
static json_int_t number(const _Atomic uint64_t *counter)
{
	return (json_int_t)atomic_load_explicit(counter, memory_order_relaxed);
}

static json_t *latency_json(const struct hist *hist)
{
	uint64_t count = hist_count(hist);
	uint64_t sum = (uint64_t)number(&hist->sum);

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)count, "mean_ns",
			 (json_int_t)(count ? sum / count : 0), "p50_ns",
			 (json_int_t)format_percentile(hist, 0.50), "p90_ns",
			 (json_int_t)format_percentile(hist, 0.90), "p99_ns",
			 (json_int_t)format_percentile(hist, 0.99), "max_ns", number(&hist->max));
}

static json_t *latencies_json(const struct stats_page *page)
{
	return json_pack("{s:o, s:o, s:o}", "major", latency_json(&page->major_ns), "minor",
			 latency_json(&page->minor_ns), "fresh", latency_json(&page->fresh_ns));
}

static json_t *memory_json(const struct stats_page *page)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "adopted_bytes",
			 number(&page->adopted_bytes), "resident_bytes",
			 number(&page->resident_bytes), "staged_bytes", number(&page->staged_bytes),
			 "remote_bytes", number(&page->remote_bytes), "filled_bytes",
			 number(&page->filled_bytes), "other_bytes", number(&page->other_bytes),
			 "metadata_bytes", number(&page->metadata_bytes), "late_ns",
			 number(&page->late_ns));
}

static json_t *faults_json(const struct stats_page *page)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "major", number(&page->major), "minor",
			 number(&page->minor), "fresh", number(&page->fresh), "refilled",
			 number(&page->refilled), "stale", number(&page->stale));
}

static json_t *pages_json(const struct stats_page *page)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "taken", number(&page->taken),
			 "taken_clean", number(&page->taken_clean), "taken_filled",
			 number(&page->taken_filled), "written", number(&page->written), "refused",
			 number(&page->refused), "corrupt", number(&page->corrupt), "ahead",
			 number(&page->ahead), "ahead_used", number(&page->ahead_used));
}

static json_t *donor_json(const struct stats_donor *donor)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "name", donor->name, "transport",
			 donor->transport, "state", stat_donor_state(donor->state), "slabs",
			 (json_int_t)donor->slabs, "in_bytes", number(&donor->bytes_in),
			 "out_bytes", number(&donor->bytes_out));
}

static json_t *donors_json(const struct stats_page *page)
{
	json_t *donors = json_array();
	unsigned i;

	for (i = 0; i < page->donor_count; i++)
		if (json_array_append_new(donors, donor_json(&page->donors[i]))) {
			json_decref(donors);
			return NULL;
		}
	return donors;
}

/* json_pack() gives NULL if any of its parts is, and frees the others. */
json_t *stat_json(const struct stats_page *page)
{
	return json_pack(
		"{s:I, s:s, s:b, s:I, s:b, s:o, s:o, s:o, s:I, s:o, s:o}", "pid",
		(json_int_t)page->pid, "program", page->program, "active", 1, "budget_bytes",
		number(&page->budget_bytes), "over_budget", page->over_budget != 0, "memory",
		memory_json(page), "faults", faults_json(page), "pages", pages_json(page), "forks",
		number(&page->forks), "latency", latencies_json(page), "donors", donors_json(page));
}

json_t *stat_json_inactive(uint32_t pid, const char *program)
{
	return json_pack("{s:I, s:s, s:b}", "pid", (json_int_t)pid, "program", program, "active",
			 0);
}
