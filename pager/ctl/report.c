#include "pager/ctl/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES 512

static const char *const status_names[] = {"ok", "warn", "bad"};

int report_open(struct report *report, bool as_json)
{
	*report = (struct report){.checks = as_json ? json_array() : NULL};
	return as_json && !report->checks ? -ENOMEM : 0;
}

static void add_json(struct report *report, const char *status, const char *name, const char *fix,
		     const char *text)
{
	report->last = json_pack("{s:s, s:s, s:s, s:s*}", "name", name, "status", status, "text",
				 text, "fix", fix);
	if (json_array_append_new(report->checks, report->last)) {
		report->last = NULL;
		report->no_memory = true;
	}
}

void report_add(struct report *report, enum report_status status, const char *name, const char *fix,
		const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (status == REPORT_BAD)
		report->bad++;
	if (report->checks) {
		add_json(report, status_names[status], name, fix, text);
		return;
	}
	printf("%-5s %-14s %s", status_names[status], name, text);
	if (fix)
		printf("; fix: %s", fix);
	putchar('\n');
	fflush(stdout); /* the next one may take seconds */
}

static void set_last(struct report *report, const char *key, json_t *value)
{
	if (!report->last)
		json_decref(value);
	else if (json_object_set_new(report->last, key, value))
		report->no_memory = true;
}

void report_number(struct report *report, const char *key, uint64_t value)
{
	if (report->checks)
		set_last(report, key, json_integer((json_int_t)value));
}

void report_text(struct report *report, const char *key, const char *value)
{
	if (report->checks)
		set_last(report, key, json_string(value));
}

static int close_json(struct report *report)
{
	json_t *all = json_pack("{s:b, s:o}", "works", report->bad == 0, "checks", report->checks);
	int err;

	if (!all || report->no_memory) {
		json_decref(all);
		return -ENOMEM;
	}
	err = json_dumpf(all, stdout, JSON_INDENT(2)) ? -EIO : 0;
	json_decref(all);
	putchar('\n');
	return err;
}

int report_close(struct report *report)
{
	if (report->checks)
		return close_json(report);
	if (report->bad)
		printf("\npaging does not work here: %u to fix\n", report->bad);
	else
		puts("\npaging works here");
	return 0;
}
