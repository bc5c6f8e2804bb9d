#include "pager/heir.h"

#include "tests/suite.h"

#include <string.h>

static struct heir to;

static void begin(void)
{
	memset(&to, 0, sizeof(to));
}

static void moved(uint64_t from, uint64_t at, uint64_t bytes)
{
	to.change[to.changes++] =
		(struct uffd_event){.kind = UFFD_REMAP, .remap = {from, at, bytes}};
}

static void dropped(enum uffd_kind kind, uint64_t start, uint64_t end)
{
	to.change[to.changes++] = (struct uffd_event){.kind = kind, .range = {start, end}};
}

static void nothing_changed_is_where_it_was(void)
{
	begin();
	CU_ASSERT_EQUAL(heir_follow(&to, 0x5000), 0x5000);
}

static void what_was_dropped_is_nowhere(void)
{
	begin();
	dropped(UFFD_UNMAP, 0x5000, 0x7000);
	dropped(UFFD_REMOVE, 0x9000, 0xa000);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x4000), 0x4000);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x5000), 0);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x6000), 0);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x7000), 0x7000);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x9000), 0);
}

static void what_was_moved_is_there(void)
{
	begin();
	moved(0x5000, 0x20000, 0x2000);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x5000), 0x20000);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x6000), 0x21000);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x7000), 0x7000);
}

static void changes_follow_one_another(void)
{
	begin();
	moved(0x5000, 0x20000, 0x2000);
	dropped(UFFD_UNMAP, 0x5000, 0x7000); /* as the kernel reports it after a move */
	moved(0x20000, 0x40000, 0x1000);
	dropped(UFFD_REMOVE, 0x21000, 0x22000);
	moved(0x8000, 0x20000, 0x1000); /* something else, to where it was */
	CU_ASSERT_EQUAL(heir_follow(&to, 0x5000), 0x40000);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x6000), 0);
	CU_ASSERT_EQUAL(heir_follow(&to, 0x8000), 0x20000);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(nothing_changed_is_where_it_was),
		SUITE_TEST(what_was_dropped_is_nowhere),
		SUITE_TEST(what_was_moved_is_there),
		SUITE_TEST(changes_follow_one_another),
		SUITE_END,
	};

	return suite_run("heir", tests);
}
