/*
 * The findings of `pagerctl doctor`, one at a time: a line each for people, or an array of objects
 * for programs. Says in the end whether anything was bad.
 */
#ifndef PAGER_CTL_REPORT_H
#define PAGER_CTL_REPORT_H

#include "common/base/compiler.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum report_status {
	REPORT_OK,
	REPORT_WARN, /* paging works, less well, or something else does not */
	REPORT_BAD,  /* paging does not work */
};

struct report {
	json_t *checks; /* NULL when printing lines */
	json_t *last;	/* borrowed: newest element of checks */
	unsigned bad;
	bool no_memory;
};

int report_open(struct report *report, bool as_json) MUST_CHECK;

/* `fix` says what to do, or NULL where there is nothing to do. */
void report_add(struct report *report, enum report_status status, const char *name, const char *fix,
		const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Adds to what was added last, for programs only: the text has it already. */
void report_number(struct report *report, const char *key, uint64_t value);
void report_text(struct report *report, const char *key, const char *value);

/* Prints the last line, or all of the JSON. 0, or -ENOMEM, -EIO. */
int report_close(struct report *report) MUST_CHECK;

#endif
