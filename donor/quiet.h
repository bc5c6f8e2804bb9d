/*
 * Log lines that strangers can cause at will: a few in a while, then only their number, so that
 * nobody can fill the donor's disk from outside. Nothing is lost without a word: quiet_tell() says
 * how many were not shown. One thread.
 */
#ifndef DONOR_QUIET_H
#define DONOR_QUIET_H

#include "common/base/compiler.h"
#include "common/base/log.h"

#include <stdint.h>

struct quiet {
	const char *about; /* whom: "strangers" */
	uint64_t window_end_ns;
	unsigned lines;	 /* in this window */
	unsigned hidden; /* not logged, and not yet told */
};

/* `about` is not copied. */
void quiet_init(struct quiet *quiet, const char *about);

/* Logs the line, or counts it. */
void quiet_line(struct quiet *quiet, uint64_t now_ns, enum log_level level, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* To be called now and then: tells how many lines were not shown, once their window is over. */
void quiet_tell(struct quiet *quiet, uint64_t now_ns);

#endif
