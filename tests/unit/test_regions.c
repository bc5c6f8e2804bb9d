#include "pager/regions.h"

#include "tests/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 4u

static struct region list[ROOM + 1];
static struct regions regions;

/* Behind the room lies an entry that nobody may touch. */
static void open_book(void)
{
	memset(list, 0x5a, sizeof(list));
	regions_init(&regions, list, ROOM);
}

static void add(uint64_t start, uint64_t end)
{
	CU_ASSERT_EQUAL_FATAL(regions_add(&regions, start, end), 0);
}

static void take_away(uint64_t start, uint64_t end)
{
	CU_ASSERT_EQUAL_FATAL(regions_remove(&regions, start, end), 0);
}

static bool holds(unsigned at, uint64_t start, uint64_t end)
{
	return at < regions.count && list[at].start == start && list[at].end == end;
}

static void nothing_is_in_an_empty_book(void)
{
	struct region gap;

	open_book();
	CU_ASSERT_FALSE(regions_contain(&regions, 0));
	CU_ASSERT_FALSE(regions_touch(&regions, 0, UINT64_MAX));
	CU_ASSERT_EQUAL(regions_remove(&regions, 0, UINT64_MAX), 0);
	CU_ASSERT_TRUE(regions_gap(&regions, 5, 9, &gap));
	CU_ASSERT(gap.start == 5 && gap.end == 9);
	CU_ASSERT_FALSE(regions_gap(&regions, 5, 5, &gap));
	CU_ASSERT_EQUAL(regions.bytes, 0);
}

static void a_region_holds_its_start_and_not_its_end(void)
{
	open_book();
	add(10, 20);
	CU_ASSERT_FALSE(regions_contain(&regions, 9));
	CU_ASSERT_TRUE(regions_contain(&regions, 10));
	CU_ASSERT_TRUE(regions_contain(&regions, 19));
	CU_ASSERT_FALSE(regions_contain(&regions, 20));
	CU_ASSERT_EQUAL(regions.bytes, 10);
}

static void they_are_kept_in_order(void)
{
	open_book();
	add(50, 60);
	add(10, 20);
	add(30, 40);
	CU_ASSERT(regions.count == 3 && regions.bytes == 30);
	CU_ASSERT(holds(0, 10, 20) && holds(1, 30, 40) && holds(2, 50, 60));
}

static void adding_joins_what_it_touches(void)
{
	open_book();
	add(10, 20);
	add(20, 30); /* behind */
	CU_ASSERT(regions.count == 1 && holds(0, 10, 30));
	add(5, 10); /* before */
	CU_ASSERT(regions.count == 1 && holds(0, 5, 30));
	add(40, 50);
	add(60, 70);
	add(30, 60); /* between, exactly */
	CU_ASSERT(regions.count == 1 && holds(0, 5, 70));
	CU_ASSERT_EQUAL(regions.bytes, 65);
}

static void adding_swallows_and_is_swallowed(void)
{
	open_book();
	add(10, 20);
	add(30, 40);
	add(50, 60);
	add(35, 36); /* within */
	CU_ASSERT(regions.count == 3 && regions.bytes == 30);
	add(15, 45); /* over one and a half */
	CU_ASSERT(regions.count == 2 && holds(0, 10, 45) && holds(1, 50, 60));
	add(0, 100);
	CU_ASSERT(regions.count == 1 && holds(0, 0, 100));
	CU_ASSERT_EQUAL(regions.bytes, 100);
}

static void removing_cuts_and_splits(void)
{
	open_book();
	add(10, 40);
	take_away(0, 10); /* touches only */
	take_away(40, 50);
	CU_ASSERT(regions.count == 1 && holds(0, 10, 40));
	take_away(5, 15);
	take_away(35, 45);
	CU_ASSERT(regions.count == 1 && holds(0, 15, 35));
	take_away(20, 25);
	CU_ASSERT(regions.count == 2 && holds(0, 15, 20) && holds(1, 25, 35));
	CU_ASSERT_EQUAL(regions.bytes, 15);
	take_away(15, 20); /* one exactly */
	CU_ASSERT(regions.count == 1 && holds(0, 25, 35));
}

static void removing_takes_many_at_once(void)
{
	open_book();
	add(10, 20);
	add(30, 40);
	add(50, 60);
	take_away(15, 55);
	CU_ASSERT(regions.count == 2 && holds(0, 10, 15) && holds(1, 55, 60));
	take_away(0, UINT64_MAX);
	CU_ASSERT(regions.count == 0 && regions.bytes == 0);
}

static void a_gap_is_the_first_part_that_is_in_none(void)
{
	struct region gap;

	open_book();
	add(10, 20);
	add(30, 40);
	CU_ASSERT_TRUE(regions_gap(&regions, 0, 100, &gap) && gap.start == 0 && gap.end == 10);
	CU_ASSERT_TRUE(regions_gap(&regions, 10, 100, &gap) && gap.start == 20 && gap.end == 30);
	CU_ASSERT_TRUE(regions_gap(&regions, 15, 25, &gap) && gap.start == 20 && gap.end == 25);
	CU_ASSERT_TRUE(regions_gap(&regions, 20, 21, &gap) && gap.start == 20 && gap.end == 21);
	CU_ASSERT_TRUE(regions_gap(&regions, 39, 100, &gap) && gap.start == 40 && gap.end == 100);
	CU_ASSERT_FALSE(regions_gap(&regions, 10, 20, &gap));
	CU_ASSERT_FALSE(regions_gap(&regions, 32, 39, &gap));
}

static void what_shares_an_address_touches(void)
{
	open_book();
	add(10, 20);
	add(30, 40);
	CU_ASSERT_FALSE(regions_touch(&regions, 0, 10));
	CU_ASSERT_TRUE(regions_touch(&regions, 0, 11));
	CU_ASSERT_TRUE(regions_touch(&regions, 14, 15)); /* within */
	CU_ASSERT_TRUE(regions_touch(&regions, 19, 30));
	CU_ASSERT_FALSE(regions_touch(&regions, 20, 30)); /* between, exactly */
	CU_ASSERT_FALSE(regions_touch(&regions, 24, 25));
	CU_ASSERT_TRUE(regions_touch(&regions, 20, 31));
	CU_ASSERT_TRUE(regions_touch(&regions, 0, 100)); /* over both */
	CU_ASSERT_TRUE(regions_touch(&regions, 39, 50));
	CU_ASSERT_FALSE(regions_touch(&regions, 40, UINT64_MAX));
}

static void a_full_book_refuses_and_stays_as_it_was(void)
{
	struct region before[ROOM + 1];
	struct regions book;

	open_book();
	for (uint64_t i = 1; i <= ROOM; i++)
		add(100 * i, 100 * i + 50);
	memcpy(before, list, sizeof(list));
	book = regions;
	CU_ASSERT_EQUAL(regions_add(&regions, 10, 20), -ENOSPC);
	CU_ASSERT_EQUAL(regions_add(&regions, 160, 170), -ENOSPC);
	CU_ASSERT_EQUAL(regions_add(&regions, 1000, 1001), -ENOSPC);
	CU_ASSERT_EQUAL(regions_remove(&regions, 110, 120), -ENOSPC);
	CU_ASSERT_EQUAL(memcmp(before, list, sizeof(list)), 0);
	CU_ASSERT(regions.count == book.count && regions.bytes == book.bytes);
}

static void a_full_book_does_what_needs_no_room(void)
{
	open_book();
	for (uint64_t i = 1; i <= ROOM; i++)
		add(100 * i, 100 * i + 50);
	add(150, 160);
	take_away(100, 110);
	add(180, 200); /* joins the second */
	CU_ASSERT(regions.count == ROOM && holds(0, 110, 160) && holds(1, 180, 250));
	add(160, 180);
	CU_ASSERT(regions.count == ROOM - 1 && holds(0, 110, 250));
	take_away(120, 130); /* and now there is room for a hole */
	CU_ASSERT(regions.count == ROOM && holds(0, 110, 120) && holds(1, 130, 250));
}

/* ---- against a bitmap of pages ---- */

#define MODEL_PAGES 200u
#define MODEL_ROOM 8u

static struct region model_list[MODEL_ROOM];
static bool model[MODEL_PAGES + 1]; /* the last one stays false */
static unsigned refusals;
static unsigned seed = 815;

static uint32_t pick(uint32_t below)
{
	return (uint32_t)rand_r(&seed) % below;
}

static unsigned runs_of(const bool *pages)
{
	unsigned runs = 0;

	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		runs += pages[i] && !pages[i + 1];
	return runs;
}

static void change_both(uint32_t start, uint32_t end, bool is_added)
{
	bool wanted[MODEL_PAGES + 1];
	int err;

	memcpy(wanted, model, sizeof(model));
	memset(wanted + start, is_added, end - start);
	err = is_added ? regions_add(&regions, start, end) : regions_remove(&regions, start, end);
	if (runs_of(wanted) > MODEL_ROOM) {
		CU_ASSERT_EQUAL_FATAL(err, -ENOSPC);
		refusals++;
		return;
	}
	CU_ASSERT_EQUAL_FATAL(err, 0);
	memcpy(model, wanted, sizeof(model));
}

static void compare_gap(uint32_t start, uint32_t end)
{
	struct region gap;
	uint32_t from = start, to;

	while (from < end && model[from])
		from++;
	for (to = from; to < end && !model[to];)
		to++;
	CU_ASSERT_EQUAL_FATAL(regions_gap(&regions, start, end, &gap), from < end);
	if (from < end)
		CU_ASSERT_FATAL(gap.start == from && gap.end == to);
}

static void compare_touch(uint32_t start, uint32_t end)
{
	while (start < end && !model[start])
		start++;
	CU_ASSERT_EQUAL_FATAL(regions_touch(&regions, start, end), start < end);
}

static void compare_pages(void)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i <= MODEL_PAGES; i++) {
		CU_ASSERT_EQUAL_FATAL(regions_contain(&regions, i), model[i]);
		pages += model[i];
	}
	CU_ASSERT_EQUAL_FATAL(regions.bytes, pages);
	CU_ASSERT_EQUAL_FATAL(regions.count, runs_of(model));
}

static void it_agrees_with_a_bitmap_whatever_happens(void)
{
	regions_init(&regions, model_list, MODEL_ROOM);
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t start = pick(MODEL_PAGES);
		uint32_t most = MODEL_PAGES - start < 12 ? MODEL_PAGES - start : 12;

		change_both(start, start + 1 + pick(most), pick(2));
		compare_pages();
		compare_gap(pick(MODEL_PAGES), pick(MODEL_PAGES + 1));
		compare_touch(start, start + 1 + pick(MODEL_PAGES - start));
	}
	CU_ASSERT(refusals > 0); /* or want of room was not put to the test */
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(nothing_is_in_an_empty_book),
		SUITE_TEST(a_region_holds_its_start_and_not_its_end),
		SUITE_TEST(they_are_kept_in_order),
		SUITE_TEST(adding_joins_what_it_touches),
		SUITE_TEST(adding_swallows_and_is_swallowed),
		SUITE_TEST(removing_cuts_and_splits),
		SUITE_TEST(removing_takes_many_at_once),
		SUITE_TEST(a_gap_is_the_first_part_that_is_in_none),
		SUITE_TEST(what_shares_an_address_touches),
		SUITE_TEST(a_full_book_refuses_and_stays_as_it_was),
		SUITE_TEST(a_full_book_does_what_needs_no_room),
		SUITE_TEST(it_agrees_with_a_bitmap_whatever_happens),
		SUITE_END,
	};

	return suite_run("regions", tests);
}
