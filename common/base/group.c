#include "common/base/group.h"

#include "common/base/compiler.h"

#include <stdio.h>
#include <string.h>

/* Version 1 says "no limit" with the largest number of whole pages; nobody has half of it. */
#define ABSURD_LIMIT (UINT64_C(1) << 62)

/* Names of one version of control groups. */
struct group_version {
	const char *member; /* stands before our path in /proc/self/cgroup */
	const char *root;   /* below the root directory */
	const char *limit;  /* file; no number in it means none */
	const char *usage;  /* file */
	/* fields of memory.stat: cache that nobody uses now, and the rest of it */
	const char *inactive, *active;
};

static const struct group_version versions[] = {
	{"0::", "", "memory.max", "memory.current", "\ninactive_file ", "\nactive_file "},
	{":memory:", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
	 "\ntotal_inactive_file ", "\ntotal_active_file "},
};

/* One look: which version, and what counts. */
struct look {
	const struct group_version *version;
	enum group_cache cache;
	struct group_scratch *scratch;
};

/* Whether there is room for the path of that file of the directory we are at. */
static bool make_path(struct group_scratch *scratch, const char *file)
{
	return snprintf(scratch->path, sizeof(scratch->path), "%s/%s", scratch->directory, file) <
	       (int)sizeof(scratch->path);
}

static bool read_value(const struct look *look, const char *file, uint64_t *out)
{
	return make_path(look->scratch, file) && text_read_number(look->scratch->path, out);
}

static uint64_t droppable(const struct look *look)
{
	struct group_scratch *scratch = look->scratch;
	uint64_t bytes;

	if (!make_path(scratch, "memory.stat"))
		return 0;
	text_read(scratch->path, scratch->text, sizeof(scratch->text));
	bytes = text_number_after(scratch->text, look->version->inactive);
	if (look->cache == GROUP_ALL_CACHE)
		bytes += text_number_after(scratch->text, look->version->active);
	return bytes;
}

static void lower(uint64_t *value, uint64_t to)
{
	if (to < *value)
		*value = to;
}

/* A directory that we cannot see, as those above a container's, limits nothing that we know of. */
static void look_here(const struct look *look, struct group_ram *ram)
{
	uint64_t limit, usage, cache;

	if (!read_value(look, look->version->limit, &limit) || limit >= ABSURD_LIMIT ||
	    !read_value(look, look->version->usage, &usage))
		return;
	cache = droppable(look);
	usage -= cache < usage ? cache : usage;
	lower(&ram->limit, limit);
	lower(&ram->left, limit > usage ? limit - usage : 0);
}

/* The group's own limit, and those of all groups around it. */
static void look_upwards(const struct look *look, size_t root_len, struct group_ram *ram)
{
	char *directory = look->scratch->directory;

	for (;;) {
		char *slash = strrchr(directory + root_len, '/');

		look_here(look, ram);
		if (!slash)
			return;
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

static void look_at(const struct look *look, const char *own, const char *root,
		    struct group_ram *ram)
{
	struct group_scratch *scratch = look->scratch;
	size_t room = sizeof(scratch->directory);
	int len = snprintf(scratch->directory, room, "%s%s", root, look->version->root);

	if (len >= (int)room)
		return;
	text_read(own, scratch->text, sizeof(scratch->text));
	if (find_membership(scratch->text, look->version->member, scratch->directory + len,
			    room - (size_t)len))
		look_upwards(look, (size_t)len, ram);
}

struct group_ram group_ram_at(const char *own, const char *root, enum group_cache cache,
			      struct group_scratch *scratch)
{
	struct group_ram ram = {GROUP_NO_LIMIT, GROUP_NO_LIMIT};

	for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
		struct look look = {&versions[i], cache, scratch};

		look_at(&look, own, root, &ram);
	}
	return ram;
}

struct group_ram group_ram(enum group_cache cache, struct group_scratch *scratch)
{
	return group_ram_at("/proc/self/cgroup", "/sys/fs/cgroup", cache, scratch);
}
