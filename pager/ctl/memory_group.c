#include "pager/ctl/memory_group.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where systemd and every distribution mount them. */
#define MOUNT_V2 "/sys/fs/cgroup"
#define MOUNT_V1 "/sys/fs/cgroup/memory"
/* What version 1 says for "no limit" is the largest number of whole pages; nobody has half of it.
 */
#define ABSURD_LIMIT (UINT64_C(1) << 62)

int memory_group_parse(const char *line, struct memory_group *out)
{
	const char *controllers = strchr(line, ':');
	const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
	const char *mount;
	size_t named;
	int n;

	if (!group)
		return -ENOENT;
	named = (size_t)(group - controllers - 1);
	if (named == 0)
		mount = MOUNT_V2;
	else if (named == 6 && memcmp(controllers + 1, "memory", 6) == 0)
		mount = MOUNT_V1;
	else
		return -ENOENT;
	group++;
	/* "/": the mount itself. "/..": out of sight in a container, where the mount is all we see.
	 */
	n = (int)strcspn(group, "\n");
	if (n == 1 || strncmp(group, "/..", 3) == 0)
		n = 0;
	out->top = (unsigned)strlen(mount);
	out->file = named ? "memory.limit_in_bytes" : "memory.max";
	if (snprintf(out->path, sizeof(out->path), "%s%.*s", mount, n, group) >=
	    (int)sizeof(out->path))
		return -ENOENT;
	return 0;
}

static uint64_t limit_of(const char *directory, const char *file)
{
	unsigned long long limit = 0;
	char path[600];
	FILE *from;
	int n;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	from = fopen(path, "re");
	if (!from)
		return MEMORY_GROUP_NO_LIMIT;
	n = fscanf(from, "%llu", &limit);
	fclose(from);
	/* Version 2 says "max". */
	return n == 1 && limit < ABSURD_LIMIT ? limit : MEMORY_GROUP_NO_LIMIT;
}

/* A group is also under the limits of those above it. */
static uint64_t lowest_upwards(struct memory_group *group)
{
	uint64_t lowest = MEMORY_GROUP_NO_LIMIT;
	uint64_t limit;

	for (;;) {
		limit = limit_of(group->path, group->file);
		if (limit < lowest)
			lowest = limit;
		if (strlen(group->path) <= group->top)
			return lowest;
		*strrchr(group->path, '/') = '\0';
	}
}

uint64_t memory_group_limit(void)
{
	uint64_t lowest = MEMORY_GROUP_NO_LIMIT;
	struct memory_group group;
	uint64_t limit;
	char *line = NULL;
	size_t room = 0;
	FILE *list;

	list = fopen("/proc/self/cgroup", "re");
	if (!list)
		return lowest;
	while (getline(&line, &room, list) > 0) {
		if (memory_group_parse(line, &group))
			continue;
		limit = lowest_upwards(&group);
		if (limit < lowest)
			lowest = limit;
	}
	free(line);
	fclose(list);
	return lowest;
}
