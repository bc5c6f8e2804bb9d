/*
 * Log lines that strangers can cause at will: a few in a while, then only their number, so that
 * nobody can fill the donor's disk from outside. One thread.
 */
#ifndef DONOR_QUIET_H
#define DONOR_QUIET_H

#include "common/base/compiler.h"
#include "common/base/log.h"

#include <stdint.h>

/* All zero at start. */
struct quiet {
	uint64_t window_end_ns;
	unsigned lines;	 /* in this window */
	unsigned hidden; /* not logged, and not yet told */
};

/* Logs the line, or counts it. */
void quiet_line(struct quiet *quiet, uint64_t now_ns, enum log_level level, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
