#include "common/base/group.h"

#include "common/base/compiler.h"
#include "tests/suite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char room[64]; /* the directory that stands for the host's */

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", room, name);
	for (char *slash = strchr(path + strlen(room) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
	fclose(file);
}

static void begin(const char *membership)
{
	strcpy(room, "/tmp/test_group.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(room));
	put("own", membership);
}

static int remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED,
		      struct FTW *ftw UNUSED)
{
	return remove(path);
}

static uint64_t limit; /* of the last end() */

static uint64_t end_with(enum group_cache cache)
{
	static struct group_scratch scratch;
	char own[128], root[128];
	struct group_ram ram;

	snprintf(own, sizeof(own), "%s/own", room);
	snprintf(root, sizeof(root), "%s/fs", room);
	ram = group_ram_at(own, root, cache, &scratch);
	nftw(room, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	limit = ram.limit;
	return ram.left;
}

static uint64_t end(void)
{
	return end_with(GROUP_IDLE_CACHE);
}

static void without_groups_there_is_no_limit(void)
{
	begin("");
	CU_ASSERT_EQUAL(end(), GROUP_NO_LIMIT);
}

static void a_limit_of_version_2_counts(void)
{
	begin("0::/system/donord\n");
	put("fs/system/donord/memory.max", "1000\n");
	put("fs/system/donord/memory.current", "300\n");
	CU_ASSERT_EQUAL(end(), 700);
}

static void the_tightest_limit_around_us_counts(void)
{
	begin("0::/a/b/c\n");
	put("fs/a/b/c/memory.max", "max\n");
	put("fs/a/b/c/memory.current", "10\n");
	put("fs/a/b/memory.max", "500\n");
	put("fs/a/b/memory.current", "100\n");
	put("fs/a/memory.max", "450\n");
	put("fs/a/memory.current", "200\n");
	CU_ASSERT_EQUAL(end(), 250);
	CU_ASSERT_EQUAL(limit, 450);
}

static void a_container_sees_its_limit_at_the_root(void)
{
	begin("12:memory:/docker/1234\n3:cpu:/docker/1234\n");
	put("fs/memory/memory.limit_in_bytes", "1000\n");
	put("fs/memory/memory.usage_in_bytes", "400\n");
	CU_ASSERT_EQUAL(end(), 600);
	CU_ASSERT_EQUAL(limit, 1000);
}

static void cache_that_can_be_dropped_is_left(void)
{
	begin("0::/\n");
	put("fs/memory.max", "1000\n");
	put("fs/memory.current", "900\n");
	put("fs/memory.stat", "anon 100\nfile 800\nactive_file 200\ninactive_file 600\n");
	CU_ASSERT_EQUAL(end(), 700);
	begin("4:memory:/x\n0::/\n");
	put("fs/memory/x/memory.limit_in_bytes", "1000\n");
	put("fs/memory/x/memory.usage_in_bytes", "900\n");
	put("fs/memory/x/memory.stat", "cache 3\ninactive_file 5\ntotal_inactive_file 50\n");
	CU_ASSERT_EQUAL(end(), 150);
}

static void all_cache_can_be_dropped_to_stay_alive(void)
{
	begin("0::/\n");
	put("fs/memory.max", "1000\n");
	put("fs/memory.current", "900\n");
	put("fs/memory.stat", "anon 100\nfile 800\ninactive_file 500\nactive_file 200\n");
	CU_ASSERT_EQUAL(end_with(GROUP_ALL_CACHE), 800);
	begin("4:memory:/x\n0::/\n");
	put("fs/memory/x/memory.limit_in_bytes", "1000\n");
	put("fs/memory/x/memory.usage_in_bytes", "900\n");
	put("fs/memory/x/memory.stat", "cache 3\ninactive_file 5\nactive_file 6\n"
				       "total_inactive_file 50\ntotal_active_file 60\n");
	CU_ASSERT_EQUAL(end_with(GROUP_ALL_CACHE), 210);
}

/* Files below it are not there, as in a container that does not see the host's groups. */
static void a_path_out_of_sight_limits_nothing(void)
{
	begin("4:memory:/../other\n0::/../other\n");
	put("fs/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("fs/memory/memory.usage_in_bytes", "1000\n");
	CU_ASSERT_EQUAL(end_with(GROUP_ALL_CACHE), GROUP_NO_LIMIT);
	CU_ASSERT_EQUAL(limit, GROUP_NO_LIMIT);
}

static void over_the_limit_nothing_is_left(void)
{
	begin("0::/\n");
	put("fs/memory.max", "1000\n");
	put("fs/memory.current", "1200\n");
	CU_ASSERT_EQUAL(end(), 0);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(without_groups_there_is_no_limit),
		SUITE_TEST(a_limit_of_version_2_counts),
		SUITE_TEST(the_tightest_limit_around_us_counts),
		SUITE_TEST(a_container_sees_its_limit_at_the_root),
		SUITE_TEST(cache_that_can_be_dropped_is_left),
		SUITE_TEST(all_cache_can_be_dropped_to_stay_alive),
		SUITE_TEST(a_path_out_of_sight_limits_nothing),
		SUITE_TEST(over_the_limit_nothing_is_left),
		SUITE_END,
	};

	return suite_run("control groups", tests);
}
