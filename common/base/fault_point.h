/*
 * Places where a run can be made to fail, so that every error path is run under the sanitizers:
 *
 *	if (FAULT_POINT())
 *		return -ENOMEM;
 *
 * In a build with -DFAULT_POINTS the N-th place that a process passes, counted from 1, fails when
 * LIBPAGER_FAIL_AT=N, and says so on descriptor 2. In every other build it is the constant false
 * and costs nothing. `make check-faults` counts N up until a run meets no fault.
 *
 * Any thread, signal handlers excepted.
 */
#ifndef COMMON_BASE_FAULT_POINT_H
#define COMMON_BASE_FAULT_POINT_H

#include "common/base/compiler.h"

#include <stdbool.h>

#ifdef FAULT_POINTS
#define FAULT_POINT() fault_point_fails(__func__)
#else
#define FAULT_POINT() false
#endif

/* Counts one place, named for the message. True if it is the one that has to fail. */
bool fault_point_fails(const char *where) MUST_CHECK;

#endif
