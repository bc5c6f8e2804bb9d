#include "pager/ctl/memory_group.h"
#include "tests/suite.h"

#include <errno.h>
#include <string.h>

static struct memory_group group;

static void version_two_has_one_group(void)
{
	CU_ASSERT_EQUAL_FATAL(memory_group_parse("0::/user.slice/a.scope\n", &group), 0);
	CU_ASSERT_STRING_EQUAL(group.path, "/sys/fs/cgroup/user.slice/a.scope");
	CU_ASSERT_STRING_EQUAL(group.file, "memory.max");
	CU_ASSERT_EQUAL(group.top, strlen("/sys/fs/cgroup"));
}

static void version_one_has_one_for_memory(void)
{
	CU_ASSERT_EQUAL_FATAL(memory_group_parse("4:memory:/job/7\n", &group), 0);
	CU_ASSERT_STRING_EQUAL(group.path, "/sys/fs/cgroup/memory/job/7");
	CU_ASSERT_STRING_EQUAL(group.file, "memory.limit_in_bytes");
	CU_ASSERT_EQUAL(memory_group_parse("3:cpuset:/job\n", &group), -ENOENT);
	CU_ASSERT_EQUAL(memory_group_parse("9:name=systemd:/\n", &group), -ENOENT);
}

static void the_top_group_is_the_mount(void)
{
	CU_ASSERT_EQUAL_FATAL(memory_group_parse("0::/\n", &group), 0);
	CU_ASSERT_STRING_EQUAL(group.path, "/sys/fs/cgroup");
	CU_ASSERT_EQUAL_FATAL(memory_group_parse("0::/../other\n", &group), 0);
	CU_ASSERT_STRING_EQUAL(group.path, "/sys/fs/cgroup");
}

static void odd_lines_are_passed_over(void)
{
	char line[1000];

	CU_ASSERT_EQUAL(memory_group_parse("", &group), -ENOENT);
	CU_ASSERT_EQUAL(memory_group_parse("0:", &group), -ENOENT);
	memset(line, 'x', sizeof(line));
	memcpy(line, "0::/", 4);
	line[sizeof(line) - 1] = '\0';
	CU_ASSERT_EQUAL(memory_group_parse(line, &group), -ENOENT);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(version_two_has_one_group),
		SUITE_TEST(version_one_has_one_for_memory),
		SUITE_TEST(the_top_group_is_the_mount),
		SUITE_TEST(odd_lines_are_passed_over),
		SUITE_END,
	};

	return suite_run("memory_group", tests);
}
