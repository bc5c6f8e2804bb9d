#include "pager/removed.h"

#include "tests/suite.h"

#include <string.h>

#define NOW 5000000000u
#define LATER (NOW + REMOVED_FRESH_NS)

static struct removed removed;

static void open_book(void)
{
	memset(&removed, 0, sizeof(removed));
}

static void an_empty_book_touches_nothing(void)
{
	open_book();
	CU_ASSERT_FALSE(removed_touches(&removed, 0, UINT64_MAX, NOW));
	CU_ASSERT_FALSE(removed_touches(&removed, 0, UINT64_MAX, 1)); /* just after boot */
}

static void a_fresh_range_touches_what_overlaps_it(void)
{
	open_book();
	removed_note(&removed, 100, 200, NOW);
	CU_ASSERT_TRUE(removed_touches(&removed, 100, 200, NOW));
	CU_ASSERT_TRUE(removed_touches(&removed, 0, 101, NOW));
	CU_ASSERT_TRUE(removed_touches(&removed, 199, 300, NOW));
	CU_ASSERT_TRUE(removed_touches(&removed, 150, 151, NOW));
	CU_ASSERT_TRUE(removed_touches(&removed, 0, 1000, NOW));
	CU_ASSERT_FALSE(removed_touches(&removed, 0, 100, NOW));
	CU_ASSERT_FALSE(removed_touches(&removed, 200, 300, NOW));
}

static void a_range_is_fresh_for_its_time_only(void)
{
	open_book();
	removed_note(&removed, 100, 200, NOW);
	CU_ASSERT_TRUE(removed_touches(&removed, 100, 200, LATER - 1));
	CU_ASSERT_FALSE(removed_touches(&removed, 100, 200, LATER));
	CU_ASSERT_FALSE(removed_touches(&removed, 100, 200, 100 * LATER));
}

/* Whoever looks may have read the clock and then waited for the lock while the range came in. */
static void a_range_noted_after_the_clock_was_read_is_fresh(void)
{
	open_book();
	removed_note(&removed, 100, 200, NOW);
	CU_ASSERT_TRUE(removed_touches(&removed, 100, 200, NOW - 1));
	CU_ASSERT_FALSE(removed_touches(&removed, 200, 300, NOW - 1));
}

static void as_many_as_there_is_room_for_are_told_apart(void)
{
	uint64_t i;

	open_book();
	for (i = 0; i < REMOVED_ROOM; i++)
		removed_note(&removed, 20 * i, 20 * i + 10, NOW + i);
	for (i = 0; i < REMOVED_ROOM; i++) {
		CU_ASSERT_TRUE(removed_touches(&removed, 20 * i, 20 * i + 10, NOW + i));
		CU_ASSERT_FALSE(removed_touches(&removed, 20 * i + 10, 20 * i + 20, NOW + i));
	}
}

static void a_fresh_range_that_was_lost_makes_it_careful(void)
{
	open_book();
	for (uint64_t i = 0; i <= REMOVED_ROOM; i++)
		removed_note(&removed, 20 * i, 20 * i + 10, NOW + i);
	CU_ASSERT_TRUE(removed_touches(&removed, 0, 10, NOW + REMOVED_ROOM));
	CU_ASSERT_TRUE(removed_touches(&removed, 10, 20, NOW + REMOVED_ROOM));
	CU_ASSERT_TRUE(removed_touches(&removed, 10, 20, LATER - 1)); /* the lost one is from NOW */
	CU_ASSERT_FALSE(removed_touches(&removed, 10, 20, LATER));
	CU_ASSERT_TRUE(removed_touches(&removed, 20, 21, LATER)); /* one that was kept */
}

static void losing_old_ranges_is_no_loss(void)
{
	uint64_t i;

	open_book();
	for (i = 0; i < REMOVED_ROOM; i++)
		removed_note(&removed, 100, 200, NOW);
	for (i = 0; i < REMOVED_ROOM; i++)
		removed_note(&removed, 300, 400, LATER);
	CU_ASSERT_FALSE(removed_touches(&removed, 100, 200, LATER));
	CU_ASSERT_TRUE(removed_touches(&removed, 300, 400, LATER));
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(an_empty_book_touches_nothing),
		SUITE_TEST(a_fresh_range_touches_what_overlaps_it),
		SUITE_TEST(a_range_is_fresh_for_its_time_only),
		SUITE_TEST(a_range_noted_after_the_clock_was_read_is_fresh),
		SUITE_TEST(as_many_as_there_is_room_for_are_told_apart),
		SUITE_TEST(a_fresh_range_that_was_lost_makes_it_careful),
		SUITE_TEST(losing_old_ranges_is_no_loss),
		SUITE_END,
	};

	return suite_run("removed", tests);
}
