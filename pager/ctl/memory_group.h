/* The memory limit that this process is under, whichever version of cgroups sets it. */
#ifndef PAGER_CTL_MEMORY_GROUP_H
#define PAGER_CTL_MEMORY_GROUP_H

#include "common/base/compiler.h"

#include <stdint.h>

#define MEMORY_GROUP_NO_LIMIT UINT64_MAX

/* The lowest limit on the way up from this process's group, or MEMORY_GROUP_NO_LIMIT. */
uint64_t memory_group_limit(void);

/*
 * For the test: the line of /proc/PID/cgroup that counts, as the first file to look at and the
 * path that must not be left upwards. Returns 0, or -ENOENT for a line of another controller.
 */
struct memory_group {
	char path[512];	  /* of the group's directory */
	unsigned top;	  /* so many characters of it are the mount */
	const char *file; /* name of the limit in it */
};
int memory_group_parse(const char *line, struct memory_group *out) MUST_CHECK;

#endif
