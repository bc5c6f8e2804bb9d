/*
 * Where engines of one user leave files for each other, and for pagerctl: in memory, readable by
 * that user only.
 */
#ifndef PAGER_RUNDIR_H
#define PAGER_RUNDIR_H

#include "common/base/compiler.h"

#include <sys/types.h>

#define RUNDIR "/dev/shm/libpager-" /* + uid, mode 0700 */

/*
 * Opens a user's directory: a descriptor, which the caller closes, or -errno; -ENOENT if there is
 * none, -EPERM for what somebody else has put in its place.
 */
int rundir_open(uid_t user) MUST_CHECK;

/* The same for our own, which is made if there is none. */
int rundir_make(void) MUST_CHECK;

/*
 * A new file in it, with all its memory, so that writing to it can never raise SIGBUS. One of that
 * name goes. A descriptor, or -errno.
 */
int rundir_file(int dir, const char *name, size_t bytes) MUST_CHECK;

#endif
