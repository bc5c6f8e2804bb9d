/*
 * Whether the program has memory pinned for long: buffers registered with io_uring or for RDMA. The
 * kernel counts such pages for the whole process (VmPin of /proc/self/status, proc_pid_status(5)),
 * and the engine's own connections over RDMA pin some, too; so these are bracketed, and what
 * changes meanwhile is the engine's. A program that pins or unpins in the very moment of a
 * connection is taken for the engine: then it is noticed later or its memory stays longer than it
 * must.
 *
 * Only for kernels that do not refuse to move pinned pages (remap.h): unless it has been opened,
 * nothing here does anything. Any thread of the engine.
 */
#ifndef PAGER_PINS_H
#define PAGER_PINS_H

#include "common/base/compiler.h"

#include <stdbool.h>

/* The descriptor (maps_open_status()) stays the caller's. */
void pins_open(int status_fd);

/* Around whatever may make the engine pin memory, or let go of it. May be nested. */
void pins_begin(void);
void pins_end(void);

/* Whether more is pinned than the engine has; between the two above, what it was before. */
bool pins_any(void) MUST_CHECK;

/* In a forked child: nothing is pinned or open here. */
void pins_reset(void);

#endif
