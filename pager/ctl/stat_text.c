#include "pager/ctl/stat.h"

#include "pager/ctl/format.h"

#include <inttypes.h>

const char *stat_donor_state(uint32_t state)
{
	static const char *const names[] = {
		[STATS_DONOR_AWAY] = "away", [STATS_DONOR_UP] = "up", [STATS_DONOR_LOST] = "lost"};

	return state < ARRAY_LEN(names) ? names[state] : "unknown";
}

static void print_size(FILE *to, const char *what, uint64_t bytes)
{
	char text[FORMAT_BYTES];

	fprintf(to, "  %-9s%12s", what, format_size(bytes, text));
}

static void print_count(FILE *to, const char *what, uint64_t count)
{
	fprintf(to, "  %-9s%12" PRIu64, what, count);
}

static void print_memory(FILE *to, const struct stats_page *page)
{
	fputs("memory ", to);
	print_size(to, "budget", page->budget_bytes);
	print_size(to, "adopted", page->adopted_bytes);
	print_size(to, "other", page->other_bytes);
	fputs("\n       ", to);
	print_size(to, "resident", page->resident_bytes);
	print_size(to, "staged", page->staged_bytes);
	print_size(to, "metadata", page->metadata_bytes);
	fputs("\n       ", to);
	print_size(to, "remote", page->remote_bytes);
	print_size(to, "filled", page->filled_bytes);
	fputs(page->over_budget ? "  OVER BUDGET: donors are full\n" : "\n", to);
}

static void print_faults(FILE *to, const struct stats_page *page)
{
	fputs("faults ", to);
	print_count(to, "major", page->major);
	print_count(to, "minor", page->minor);
	print_count(to, "fresh", page->fresh);
	fputs("\n       ", to);
	print_count(to, "refilled", page->refilled);
	print_count(to, "stale", page->stale);
	print_count(to, "forks", page->forks);
	fputc('\n', to);
}

static void print_pages(FILE *to, const struct stats_page *page)
{
	fputs("pages  ", to);
	print_count(to, "taken", page->taken);
	print_count(to, "clean", page->taken_clean);
	print_count(to, "filled", page->taken_filled);
	fputs("\n       ", to);
	print_count(to, "written", page->written);
	print_count(to, "refused", page->refused);
	print_count(to, "corrupt", page->corrupt);
	fputs("\n       ", to);
	print_count(to, "ahead", page->ahead);
	print_count(to, "used", page->ahead_used);
	fputc('\n', to);
}

static void print_latency(FILE *to, const char *what, const struct hist *hist)
{
	static const double shares[] = {0.50, 0.90, 0.99};
	char text[FORMAT_BYTES];
	size_t i;

	fprintf(to, "%-10s%14" PRIu64, what, hist_count(hist));
	for (i = 0; i < ARRAY_LEN(shares); i++)
		fprintf(to, "%11s", format_duration(format_percentile(hist, shares[i]), text));
	fprintf(to, "%11s\n", format_duration(hist->max, text));
}

static void print_latencies(FILE *to, const struct stats_page *page)
{
	fprintf(to, "%-10s%14s%11s%11s%11s%11s\n", "latency", "count", "p50", "p90", "p99", "max");
	print_latency(to, "  major", &page->major_ns);
	print_latency(to, "  minor", &page->minor_ns);
	print_latency(to, "  fresh", &page->fresh_ns);
}

static void print_donor(FILE *to, const struct stats_donor *donor)
{
	char text[FORMAT_BYTES];

	fprintf(to, "  %-30s %-9s %-6s %7u", donor->name,
		donor->transport[0] ? donor->transport : "-", stat_donor_state(donor->state),
		donor->slabs);
	fprintf(to, "%13s", format_size(donor->bytes_in, text));
	fprintf(to, "%13s\n", format_size(donor->bytes_out, text));
}

void stat_print(FILE *to, const struct stats_page *page)
{
	unsigned i;

	fprintf(to, "%s, pid %u\n", page->program, page->pid);
	print_memory(to, page);
	print_faults(to, page);
	print_pages(to, page);
	print_latencies(to, page);
	fprintf(to, "%-32s %-9s %-6s %7s%13s%13s\n", "donor", "wire", "state", "slabs", "in",
		"out");
	for (i = 0; i < page->donor_count; i++)
		print_donor(to, &page->donors[i]);
}

void stat_print_heading(FILE *to)
{
	fprintf(to, "%8s %-15s %11s %11s %11s %11s %11s %11s\n", "PID", "PROGRAM", "BUDGET",
		"RESIDENT", "STAGED", "REMOTE", "FILLED", "MAJOR");
}

void stat_print_line(FILE *to, const struct stats_page *page)
{
	const uint64_t sizes[] = {page->budget_bytes, page->resident_bytes, page->staged_bytes,
				  page->remote_bytes, page->filled_bytes};
	char text[FORMAT_BYTES];
	size_t i;

	fprintf(to, "%8u %-15s", page->pid, page->program);
	for (i = 0; i < ARRAY_LEN(sizes); i++)
		fprintf(to, " %11s", format_size(sizes[i], text));
	fprintf(to, " %11" PRIu64 "%s\n", page->major, page->over_budget ? " over budget" : "");
}
