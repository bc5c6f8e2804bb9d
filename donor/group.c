#include "donor/group.h"

#include "common/base/compiler.h"
#include "donor/text.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES 4096

/* Names of one version of control groups. */
struct group_version {
	const char *member;   /* stands before our path in /proc/self/cgroup */
	const char *root;     /* below the root directory */
	const char *limit;    /* file; no number in it means none */
	const char *usage;    /* file */
	const char *inactive; /* field of memory.stat: cache that nobody uses now */
};

static const struct group_version versions[] = {
	{"0::", "", "memory.max", "memory.current", "\ninactive_file "},
	{":memory:", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
	 "\ntotal_inactive_file "},
};

static bool read_value(const char *directory, const char *file, uint64_t *out)
{
	char path[PATH_BYTES];

	if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
		return false;
	return text_read_number(path, out);
}

static uint64_t droppable(const struct group_version *version, const char *directory)
{
	char path[PATH_BYTES], text[TEXT_FILE_BYTES];

	if (snprintf(path, sizeof(path), "%s/memory.stat", directory) >= (int)sizeof(path))
		return 0;
	text_read(path, text, sizeof(text));
	return text_number_after(text, version->inactive);
}

/* A directory that we cannot see, as those above a container's, limits nothing that we know of. */
static uint64_t left_in(const struct group_version *version, const char *directory)
{
	uint64_t limit, usage, cache;

	if (!read_value(directory, version->limit, &limit) ||
	    !read_value(directory, version->usage, &usage))
		return GROUP_NO_LIMIT;
	cache = droppable(version, directory);
	usage -= cache < usage ? cache : usage;
	return limit > usage ? limit - usage : 0;
}

/* The group's own limit, and those of all groups around it. */
static uint64_t left_upwards(const struct group_version *version, char *directory, size_t root_len)
{
	uint64_t least = GROUP_NO_LIMIT;

	for (;;) {
		uint64_t left = left_in(version, directory);
		char *slash = strrchr(directory + root_len, '/');

		if (left < least)
			least = left;
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* Copies the rest of the line that begins after `member`. */
static bool find_membership(const char *text, const char *member, char *out, size_t room)
{
	const char *at = strstr(text, member);
	size_t len;

	if (!at)
		return false;
	at += strlen(member);
	len = strcspn(at, "\n");
	if (len >= room)
		return false;
	memcpy(out, at, len);
	out[len] = '\0';
	return true;
}

static uint64_t left_by(const struct group_version *version, const char *text, const char *root)
{
	char directory[PATH_BYTES];
	int len = snprintf(directory, sizeof(directory), "%s%s", root, version->root);

	if (len >= (int)sizeof(directory) ||
	    !find_membership(text, version->member, directory + len,
			     sizeof(directory) - (size_t)len))
		return GROUP_NO_LIMIT;
	return left_upwards(version, directory, (size_t)len);
}

uint64_t group_ram_left_at(const char *own, const char *root)
{
	uint64_t least = GROUP_NO_LIMIT;
	char text[TEXT_FILE_BYTES];

	text_read(own, text, sizeof(text));
	for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
		uint64_t left = left_by(&versions[i], text, root);

		if (left < least)
			least = left;
	}
	return least;
}

uint64_t group_ram_left(void)
{
	return group_ram_left_at("/proc/self/cgroup", "/sys/fs/cgroup");
}
