#include "pager/page_table.h"

#include "pager/own.h"
#include "pager/store.h"
#include "tests/suite.h"

#include <stdlib.h>

#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)
#define BASE (85 * TIB)

static struct page_table *table;

static void open_table(void)
{
	CU_ASSERT_EQUAL_FATAL(page_table_open(&table), 0);
}

static struct page *get(uint64_t address)
{
	struct page *page = page_get(table, address);

	CU_ASSERT_PTR_NOT_NULL_FATAL(page);
	return page;
}

static void set(uint64_t address, enum page_state state)
{
	page_set(table, get(address), state);
}

static void what_was_never_met_is_not_found(void)
{
	open_table();
	CU_ASSERT_PTR_NULL(page_find(table, 0));
	CU_ASSERT_PTR_NULL(page_find(table, BASE));
	set(BASE, PAGE_RESIDENT);
	CU_ASSERT_PTR_NULL(page_find(table, BASE + PAGE_CHUNK_BYTES));
	CU_ASSERT_PTR_NULL(page_find(table, BASE - PAGE_BYTES));
	CU_ASSERT_PTR_NULL(page_find(table, BASE + GIB));
	CU_ASSERT_PTR_NULL(page_find(table, BASE + TIB));
	page_table_close(table);
	page_table_close(NULL);
}

static void a_new_page_is_clean(void)
{
	struct page *page;

	open_table();
	page = get(BASE);
	CU_ASSERT_EQUAL(page->state, PAGE_NONE);
	CU_ASSERT_EQUAL(page->slot, STORE_NO_SLOT);
	CU_ASSERT(!page->queued && !page->writing && !page->ahead && !page->where);
	CU_ASSERT_EQUAL(sizeof(*page), 24);
	page_table_close(table);
}

static void check_round_trip(uint64_t address)
{
	struct page *page = get(address);
	uint32_t id = page_id(table, page);

	CU_ASSERT_PTR_EQUAL(get(address), page);
	CU_ASSERT_PTR_EQUAL(page_find(table, address), page);
	CU_ASSERT_PTR_EQUAL(page_find(table, address + PAGE_BYTES - 1), page);
	CU_ASSERT_PTR_EQUAL(page_by_id(table, id), page);
	CU_ASSERT_EQUAL(page_address(table, id), address);
	CU_ASSERT_NOT_EQUAL(id, PAGE_NO_ID);
}

static void address_page_and_id_lead_to_each_other(void)
{
	static const uint64_t bases[] = {0,
					 PAGE_CHUNK_BYTES,
					 GIB - PAGE_CHUNK_BYTES,
					 GIB,
					 512 * GIB,
					 BASE,
					 BASE + GIB,
					 PAGE_TABLE_END - GIB,
					 PAGE_TABLE_END - PAGE_CHUNK_BYTES};

	open_table();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(bases); i++) {
			check_round_trip(bases[i]);
			check_round_trip(bases[i] + PAGE_BYTES);
			check_round_trip(bases[i] + PAGE_CHUNK_BYTES - PAGE_BYTES);
		}
	}
	page_table_close(table);
}

static void states_are_counted(void)
{
	open_table();
	for (unsigned i = 0; i < 10; i++)
		set(BASE + i * PAGE_CHUNK_BYTES, PAGE_RESIDENT);
	set(BASE, PAGE_RESIDENT); /* again: no change */
	CU_ASSERT_EQUAL(page_count(table, PAGE_RESIDENT), 10);
	set(BASE, PAGE_STAGED);
	set(BASE + PAGE_CHUNK_BYTES, PAGE_REMOTE);
	set(BASE + 2 * PAGE_CHUNK_BYTES, PAGE_FILLED);
	set(BASE + 3 * PAGE_CHUNK_BYTES, PAGE_FETCHING);
	set(BASE + 4 * PAGE_CHUNK_BYTES, PAGE_NONE);
	CU_ASSERT_EQUAL(page_count(table, PAGE_RESIDENT), 5);
	for (enum page_state state = PAGE_STAGED; state < PAGE_STATES; state++)
		CU_ASSERT_EQUAL(page_count(table, state), 1);
	CU_ASSERT_EQUAL(page_count(table, PAGE_NONE), 0);
	page_table_close(table);
}

static void a_chunk_goes_back_when_nothing_is_used_or_queued(void)
{
	uint64_t before;

	open_table();
	before = page_table_bytes(table);
	set(BASE, PAGE_RESIDENT);
	set(BASE + PAGE_BYTES, PAGE_REMOTE);
	page_set_queued(table, get(BASE), true);
	page_set_queued(table, get(BASE), true); /* twice is once */
	CU_ASSERT(page_table_bytes(table) >= before + sizeof(struct page_chunk));
	page_set(table, get(BASE), PAGE_NONE);
	page_set(table, get(BASE + PAGE_BYTES), PAGE_NONE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(page_find(table, BASE)); /* queued still */
	page_set_queued(table, page_find(table, BASE), false);
	CU_ASSERT_PTR_NULL(page_find(table, BASE));
	CU_ASSERT(page_table_bytes(table) < before + sizeof(struct page_chunk));
	page_table_close(table);
}

static void a_chunk_that_is_used_stays_when_its_queue_entries_go(void)
{
	open_table();
	set(BASE, PAGE_RESIDENT);
	page_set_queued(table, get(BASE), true);
	page_set_queued(table, get(BASE), false);
	CU_ASSERT_PTR_NOT_NULL_FATAL(page_find(table, BASE));
	CU_ASSERT_EQUAL(page_find(table, BASE)->state, PAGE_RESIDENT);
	page_set(table, get(BASE), PAGE_NONE);
	CU_ASSERT_PTR_NULL(page_find(table, BASE));
	page_table_close(table);
}

static void a_number_is_used_again_clean(void)
{
	struct page *page;
	uint32_t id;

	open_table();
	page = get(BASE);
	id = page_id(table, page);
	page_set(table, page, PAGE_STAGED);
	page->slot = 1234;
	page->hash.low = page->hash.high = 99;
	page->writing = page->ahead = 1;
	page->where = 5678;
	page_set(table, page, PAGE_NONE);
	page = get(BASE + TIB);
	CU_ASSERT_EQUAL(page_id(table, page), id);
	CU_ASSERT_EQUAL(page_address(table, id), BASE + TIB);
	CU_ASSERT_PTR_NULL(page_find(table, BASE));
	CU_ASSERT(page->slot == STORE_NO_SLOT && page->state == PAGE_NONE);
	CU_ASSERT(!page->queued && !page->writing && !page->ahead && !page->where);
	CU_ASSERT(page->hash.low == 0 && page->hash.high == 0);
	page_table_close(table);
}

static void coming_and_going_costs_no_memory(void)
{
	uint64_t bytes;

	open_table();
	set(BASE, PAGE_RESIDENT);
	bytes = page_table_bytes(table);
	set(BASE, PAGE_NONE);
	for (unsigned i = 0; i < 10000; i++) {
		set(BASE + i % 512 * PAGE_CHUNK_BYTES, PAGE_RESIDENT);
		CU_ASSERT_EQUAL(page_table_bytes(table), bytes);
		set(BASE + i % 512 * PAGE_CHUNK_BYTES, PAGE_NONE);
	}
	page_table_close(table);
}

/* ---- page_each ---- */

static struct visits {
	uint64_t addresses[4096];
	unsigned count;
} visits;

static void note_visit(void *arg, struct page *page, uint64_t address)
{
	struct visits *to = arg;

	CU_ASSERT_PTR_EQUAL(page_find(table, address), page);
	CU_ASSERT_NOT_EQUAL(page->state, PAGE_NONE);
	CU_ASSERT_FATAL(to->count < ARRAY_LEN(to->addresses));
	to->addresses[to->count++] = address;
}

static unsigned visit(uint64_t start, uint64_t end)
{
	visits.count = 0;
	page_each(table, start, end, note_visit, &visits);
	return visits.count;
}

static void every_page_of_a_sparse_range_is_visited_once_in_order(void)
{
	static const uint64_t there[] = {
		0,
		PAGE_BYTES,
		PAGE_CHUNK_BYTES - PAGE_BYTES,
		PAGE_CHUNK_BYTES,
		GIB - PAGE_BYTES,
		GIB,
		3 * TIB - PAGE_BYTES,
		3 * TIB,
		BASE + 511 * GIB,
		BASE + 7 * PAGE_BYTES,
		PAGE_TABLE_END - PAGE_BYTES,
	};
	unsigned order[] = {0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 10};

	open_table();
	for (unsigned i = 0; i < ARRAY_LEN(there); i++)
		set(there[i], PAGE_REMOTE);
	page_set_queued(table, get(5 * TIB), true); /* NONE, though its chunk is there */
	CU_ASSERT_EQUAL_FATAL(visit(0, PAGE_TABLE_END), ARRAY_LEN(there));
	for (unsigned i = 0; i < ARRAY_LEN(there); i++)
		CU_ASSERT_EQUAL(visits.addresses[i], there[order[i]]);
	page_table_close(table);
}

static void a_visit_begins_and_ends_where_it_is_told(void)
{
	open_table();
	for (uint64_t i = 0; i < 2 * PAGE_CHUNK_PAGES; i++)
		set(BASE + i * PAGE_BYTES, PAGE_RESIDENT);
	CU_ASSERT_EQUAL(visit(BASE, BASE), 0);
	CU_ASSERT_EQUAL(visit(0, BASE), 0);
	CU_ASSERT_EQUAL(visit(BASE + 2 * PAGE_CHUNK_BYTES, PAGE_TABLE_END), 0);
	CU_ASSERT_EQUAL(visit(BASE + PAGE_BYTES, BASE + 2 * PAGE_BYTES), 1);
	CU_ASSERT_EQUAL(visits.addresses[0], BASE + PAGE_BYTES);
	CU_ASSERT_EQUAL(visit(BASE + 500 * PAGE_BYTES, BASE + 520 * PAGE_BYTES), 20);
	CU_ASSERT_EQUAL(visits.addresses[0], BASE + 500 * PAGE_BYTES);
	CU_ASSERT_EQUAL(visits.addresses[19], BASE + 519 * PAGE_BYTES);
	CU_ASSERT_EQUAL(visit(BASE - TIB, BASE + TIB), 2 * PAGE_CHUNK_PAGES);
	page_table_close(table);
}

static void drop(void *arg, struct page *page, uint64_t address UNUSED)
{
	unsigned *dropped = arg;

	(*dropped)++;
	page_set(table, page, PAGE_NONE);
}

static void what_is_visited_may_be_dropped(void)
{
	unsigned dropped = 0;

	open_table();
	for (uint64_t i = 0; i < 3 * PAGE_CHUNK_PAGES; i += 3)
		set(BASE + i * PAGE_BYTES, PAGE_STAGED);
	set(BASE + 9 * TIB, PAGE_STAGED);
	page_set_queued(table, get(BASE + PAGE_CHUNK_BYTES), true);
	page_each(table, BASE + PAGE_BYTES, PAGE_TABLE_END, drop, &dropped);
	CU_ASSERT_EQUAL(dropped, PAGE_CHUNK_PAGES); /* all but the first, and the far one */
	CU_ASSERT_EQUAL(page_count(table, PAGE_STAGED), 1);
	CU_ASSERT_EQUAL(visit(0, PAGE_TABLE_END), 1);
	CU_ASSERT_EQUAL(visits.addresses[0], BASE);
	CU_ASSERT_PTR_NOT_NULL(page_find(table, BASE + PAGE_CHUNK_BYTES)); /* queued */
	CU_ASSERT_PTR_NULL(page_find(table, BASE + 2 * PAGE_CHUNK_BYTES));
	CU_ASSERT_PTR_NULL(page_find(table, BASE + 9 * TIB));
	page_table_close(table);
}

/* ---- against an array ---- */

#define MODEL_PAGES (4u * PAGE_CHUNK_PAGES)

static enum page_state model[MODEL_PAGES];
static bool model_queued[MODEL_PAGES];
static unsigned seed = 60;

/* Two chunks side by side, one a gigabyte and one a terabyte away. */
static uint64_t model_address(uint32_t at)
{
	static const uint64_t bases[] = {BASE, BASE + PAGE_CHUNK_BYTES, BASE + GIB, BASE + TIB};

	return bases[at / PAGE_CHUNK_PAGES] + at % PAGE_CHUNK_PAGES * PAGE_BYTES;
}

static void compare_all(void)
{
	uint64_t counts[PAGE_STATES] = {0};
	unsigned n = 0;

	visit(0, PAGE_TABLE_END);
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		struct page *page = page_find(table, model_address(i));

		counts[model[i]]++;
		CU_ASSERT_EQUAL_FATAL(page ? page->state : PAGE_NONE, model[i]);
		CU_ASSERT_EQUAL_FATAL(page ? page->queued : 0, model_queued[i]);
		if (model[i] != PAGE_NONE)
			CU_ASSERT_EQUAL_FATAL(visits.addresses[n++], model_address(i));
	}
	CU_ASSERT_EQUAL_FATAL(n, visits.count);
	for (enum page_state state = PAGE_RESIDENT; state < PAGE_STATES; state++)
		CU_ASSERT_EQUAL_FATAL(page_count(table, state), counts[state]);
}

/* Now filling, now emptying, so that chunks come and go. */
static void change_one(bool is_filling)
{
	uint32_t at = (uint32_t)rand_r(&seed) % MODEL_PAGES;
	bool is_queued = is_filling && rand_r(&seed) % 2;

	model[at] = is_filling ? (enum page_state)(rand_r(&seed) % PAGE_STATES) : PAGE_NONE;
	page_set(table, get(model_address(at)), model[at]);
	model_queued[at] = is_queued;
	page_set_queued(table, get(model_address(at)), is_queued);
}

static void it_agrees_with_an_array_whatever_happens(void)
{
	open_table();
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < 6000; i++)
			change_one(round % 3 == 0);
		compare_all();
	}
	page_table_close(table);
}

static void closing_gives_everything_back(void)
{
	size_t before = own_bytes();

	open_table();
	set(BASE, PAGE_RESIDENT);
	page_table_close(table);
	CU_ASSERT_EQUAL(own_bytes(), before);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(what_was_never_met_is_not_found),
		SUITE_TEST(a_new_page_is_clean),
		SUITE_TEST(address_page_and_id_lead_to_each_other),
		SUITE_TEST(states_are_counted),
		SUITE_TEST(a_chunk_goes_back_when_nothing_is_used_or_queued),
		SUITE_TEST(a_chunk_that_is_used_stays_when_its_queue_entries_go),
		SUITE_TEST(a_number_is_used_again_clean),
		SUITE_TEST(coming_and_going_costs_no_memory),
		SUITE_TEST(every_page_of_a_sparse_range_is_visited_once_in_order),
		SUITE_TEST(a_visit_begins_and_ends_where_it_is_told),
		SUITE_TEST(what_is_visited_may_be_dropped),
		SUITE_TEST(it_agrees_with_an_array_whatever_happens),
		SUITE_TEST(closing_gives_everything_back),
		SUITE_END,
	};

	return suite_run("page_table", tests);
}
