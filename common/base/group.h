/*
 * What the control groups that this process is in still allow it to use: a container's limit, or a
 * service's. To go over it is to be killed. For donord, which would take everything lent with it,
 * and for who brings pages home before a fork. Any thread; no malloc, and little stack.
 */
#ifndef COMMON_BASE_GROUP_H
#define COMMON_BASE_GROUP_H

#include "common/base/text.h"

#include <stdint.h>

#define GROUP_NO_LIMIT UINT64_MAX
#define GROUP_PATH_BYTES 4096

/* What counts as left although it is in use: memory of the page cache. */
enum group_cache {
	GROUP_IDLE_CACHE, /* what nobody has used lately: to take the rest would make others slow */
	GROUP_ALL_CACHE	  /* of all files: the kernel drops it before it kills anybody */
};

struct group_ram {
	uint64_t limit; /* the tightest; GROUP_NO_LIMIT if there is none */
	uint64_t left;	/* below whichever leaves least; likewise */
};

/* Room for what is read, for who has no stack to spare. */
struct group_scratch {
	char directory[GROUP_PATH_BYTES], path[GROUP_PATH_BYTES], text[TEXT_FILE_BYTES];
};

struct group_ram group_ram(enum group_cache cache, struct group_scratch *scratch);

/*
 * The same with the directories that the kernel would have, for tests: `own` is /proc/self/cgroup,
 * `root` is /sys/fs/cgroup. Knows version 2 and the memory controller of version 1.
 */
struct group_ram group_ram_at(const char *own, const char *root, enum group_cache cache,
			      struct group_scratch *scratch);

#endif
