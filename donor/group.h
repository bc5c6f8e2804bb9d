/*
 * What the control groups that this process is in still allow it to use: a container's limit, or a
 * service's. To go over it is to be killed, and everything lent with us.
 */
#ifndef DONOR_GROUP_H
#define DONOR_GROUP_H

#include <stdint.h>

#define GROUP_NO_LIMIT UINT64_MAX

/* Memory left below the tightest limit, cache that can be dropped included. */
uint64_t group_ram_left(void);

/*
 * The same with the directories that the kernel would have, for tests: `own` is /proc/self/cgroup,
 * `root` is /sys/fs/cgroup. Knows version 2 and the memory controller of version 1.
 */
uint64_t group_ram_left_at(const char *own, const char *root);

#endif
