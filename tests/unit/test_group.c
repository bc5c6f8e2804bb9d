#include "donor/group.h"

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

static uint64_t end(void)
{
	char own[128], root[128];
	uint64_t left;

	snprintf(own, sizeof(own), "%s/own", room);
	snprintf(root, sizeof(root), "%s/fs", room);
	left = group_ram_left_at(own, root);
	nftw(room, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return left;
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
}

static void a_container_sees_its_limit_at_the_root(void)
{
	begin("12:memory:/docker/1234\n3:cpu:/docker/1234\n");
	put("fs/memory/memory.limit_in_bytes", "1000\n");
	put("fs/memory/memory.usage_in_bytes", "400\n");
	CU_ASSERT_EQUAL(end(), 600);
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
		SUITE_TEST(over_the_limit_nothing_is_left),
		SUITE_END,
	};

	return suite_run("control groups", tests);
}
