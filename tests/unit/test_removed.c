#include "pager/removed.h"

#include "common/base/compiler.h"
#include "tests/suite.h"

#include <string.h>

#define NOW 5000000000u
#define MOST 1024u
#define LATER (NOW + REMOVED_FRESH_NS)

static struct removed removed;

static void open_book(void)
{
	memset(&removed, 0, sizeof(removed));
}

/* Addresses are counted in pages here. */
static void note(uint64_t start, uint64_t end, uint64_t now_ns)
{
	removed_note(&removed, start << PAGE_SHIFT, end << PAGE_SHIFT, now_ns);
}

/* Whether some page of [start, end) may be on its way out. */
static bool touches(uint64_t start, uint64_t end, uint64_t now_ns)
{
	uint8_t bits[MOST / 8];
	unsigned pages = (unsigned)(end - start);
	bool any = removed_mark(&removed, start << PAGE_SHIFT, pages, now_ns, bits);
	bool found = false;

	for (unsigned i = 0; i < pages; i++)
		found = found || bits[i / 8] & 1u << i % 8;
	CU_ASSERT_EQUAL(any, found);
	return found;
}

static void an_empty_book_touches_nothing(void)
{
	open_book();
	CU_ASSERT_FALSE(touches(0, MOST, NOW));
	CU_ASSERT_FALSE(touches(0, MOST, 1)); /* just after boot */
}

static void a_fresh_range_touches_what_overlaps_it(void)
{
	open_book();
	note(100, 200, NOW);
	CU_ASSERT_TRUE(touches(100, 200, NOW));
	CU_ASSERT_TRUE(touches(0, 101, NOW));
	CU_ASSERT_TRUE(touches(199, 300, NOW));
	CU_ASSERT_TRUE(touches(150, 151, NOW));
	CU_ASSERT_TRUE(touches(0, 1000, NOW));
	CU_ASSERT_FALSE(touches(0, 100, NOW));
	CU_ASSERT_FALSE(touches(200, 300, NOW));
}

static void a_range_is_fresh_for_its_time_only(void)
{
	open_book();
	note(100, 200, NOW);
	CU_ASSERT_TRUE(touches(100, 200, LATER - 1));
	CU_ASSERT_FALSE(touches(100, 200, LATER));
	CU_ASSERT_FALSE(touches(100, 200, 100 * LATER));
}

/* Whoever looks may have read the clock and then waited for the lock while the range came in. */
static void a_range_noted_after_the_clock_was_read_is_fresh(void)
{
	open_book();
	note(100, 200, NOW);
	CU_ASSERT_TRUE(touches(100, 200, NOW - 1));
	CU_ASSERT_FALSE(touches(200, 300, NOW - 1));
}

static void as_many_as_there_is_room_for_are_told_apart(void)
{
	uint64_t i;

	open_book();
	for (i = 0; i < REMOVED_ROOM; i++)
		note(20 * i, 20 * i + 10, NOW + i);
	for (i = 0; i < REMOVED_ROOM; i++) {
		CU_ASSERT_TRUE(touches(20 * i, 20 * i + 10, NOW + i));
		CU_ASSERT_FALSE(touches(20 * i + 10, 20 * i + 20, NOW + i));
	}
}

static void a_fresh_range_that_was_lost_makes_it_careful(void)
{
	open_book();
	for (uint64_t i = 0; i <= REMOVED_ROOM; i++)
		note(20 * i, 20 * i + 10, NOW + i);
	CU_ASSERT_TRUE(touches(0, 10, NOW + REMOVED_ROOM));
	CU_ASSERT_TRUE(touches(10, 20, NOW + REMOVED_ROOM));
	CU_ASSERT_TRUE(touches(10, 20, LATER - 1)); /* the lost one is from NOW */
	CU_ASSERT_FALSE(touches(10, 20, LATER));
	CU_ASSERT_TRUE(touches(20, 21, LATER)); /* one that was kept */
}

static void losing_old_ranges_is_no_loss(void)
{
	uint64_t i;

	open_book();
	for (i = 0; i < REMOVED_ROOM; i++)
		note(100, 200, NOW);
	for (i = 0; i < REMOVED_ROOM; i++)
		note(300, 400, LATER);
	CU_ASSERT_FALSE(touches(100, 200, LATER));
	CU_ASSERT_TRUE(touches(300, 400, LATER));
}

static void each_page_has_its_bit(void)
{
	uint8_t bits[2];

	open_book();
	note(100, 103, NOW);
	note(108, 109, NOW);
	note(111, 200, NOW);
	CU_ASSERT_TRUE(removed_mark(&removed, 98u << PAGE_SHIFT, 16, NOW, bits));
	CU_ASSERT_EQUAL(bits[0], 0x1c);
	CU_ASSERT_EQUAL(bits[1], 0xe4);
}

/* The oldest first, each once, and none before its time. */
static void what_is_not_fresh_is_taken(void)
{
	uint64_t start, end;

	open_book();
	CU_ASSERT_FALSE(removed_take(&removed, NOW, &start, &end));
	note(1, 2, NOW);
	note(3, 5, NOW + 1);
	CU_ASSERT_FALSE(removed_take(&removed, LATER - 1, &start, &end));
	CU_ASSERT_TRUE(removed_take(&removed, LATER, &start, &end));
	CU_ASSERT(start == 1u << PAGE_SHIFT && end == 2u << PAGE_SHIFT);
	CU_ASSERT_FALSE(removed_take(&removed, LATER, &start, &end));
	CU_ASSERT_TRUE(removed_take(&removed, LATER + 1, &start, &end));
	CU_ASSERT(start == 3u << PAGE_SHIFT && end == 5u << PAGE_SHIFT);
	CU_ASSERT_FALSE(removed_take(&removed, LATER + 1, &start, &end));
}

static void a_lost_range_is_not_taken(void)
{
	uint64_t start, end;
	unsigned i, taken = 0;

	open_book();
	for (i = 0; i < REMOVED_ROOM + 3; i++)
		note(i, i + 1, NOW);
	while (removed_take(&removed, LATER, &start, &end))
		CU_ASSERT_EQUAL(start >> PAGE_SHIFT, taken++ + 3);
	CU_ASSERT_EQUAL(taken, REMOVED_ROOM);
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
		SUITE_TEST(each_page_has_its_bit),
		SUITE_TEST(what_is_not_fresh_is_taken),
		SUITE_TEST(a_lost_range_is_not_taken),
		SUITE_END,
	};

	return suite_run("removed", tests);
}
