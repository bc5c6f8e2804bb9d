/*
 * In which order changes of the map enter the books. The kernel queues an event when its system
 * call is over, so that two threads' events may come the wrong way round; here they come as they
 * are made up. A fork is entered when it is counted: nothing is out that its child would have to
 * get.
 */
#include "pager/fault.h"

#include "pager/own.h"
#include "tests/suite.h"

#include <fcntl.h>
#include <string.h>

#define REGIONS 64u
#define PAGES 4u
#define BYTES (PAGES * PAGE_BYTES)
#define FROM UINT64_C(0x10000000)
#define TO UINT64_C(0x20000000)
#define BESIDE UINT64_C(0x30000000)

static struct engine *engine;
static struct fault_thread *fault;

static void set_resident(uint64_t start)
{
	CU_ASSERT_EQUAL_FATAL(regions_add(&engine->regions, start, start + BYTES), 0);
	for (unsigned i = 0; i < PAGES; i++)
		engine_now_resident(engine, page_get(engine->table, start + i * PAGE_BYTES));
}

/* Three areas, all of it in memory. */
static void begin(void)
{
	engine = own_alloc(sizeof(*engine));
	fault = own_alloc(sizeof(*fault));
	CU_ASSERT_TRUE_FATAL(engine && fault);
	regions_init(&engine->regions, own_alloc(REGIONS * sizeof(struct region)), REGIONS);
	CU_ASSERT_EQUAL_FATAL(page_table_open(&engine->table), 0);
	CU_ASSERT_EQUAL_FATAL(fifo_open(&engine->order), 0);
	engine->uffd = -1; /* no change is ever on its way */
	engine->fault = fault;
	fault->engine = engine;
	set_resident(FROM);
	set_resident(TO);
	set_resident(BESIDE);
}

static void end(void)
{
	CU_ASSERT_EQUAL(fault->late_count, 0);
	CU_ASSERT_EQUAL(engine->late_forks, 0);
	CU_ASSERT_FALSE(engine->unsettled);
	CU_ASSERT_EQUAL(atomic_load(&engine->end_wanted), 0);
	page_table_close(engine->table);
}

static unsigned resident(uint64_t start)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PAGES; i++) {
		const struct page *page = page_find(engine->table, start + i * PAGE_BYTES);

		n += page && page->state == PAGE_RESIDENT;
	}
	return n;
}

static uint64_t forks(void)
{
	return atomic_load(&engine->forks);
}

static void enter(struct uffd_event event)
{
	event_enter(fault, &event);
}

static void enter_move(void)
{
	enter((struct uffd_event){.kind = UFFD_REMAP, .remap = {FROM, TO, BYTES}});
}

static void enter_unmapping(uint64_t start)
{
	enter((struct uffd_event){.kind = UFFD_UNMAP, .range = {start, start + BYTES}});
}

static void enter_removal(uint64_t start)
{
	enter((struct uffd_event){.kind = UFFD_REMOVE, .range = {start, start + BYTES}});
}

static void enter_fork(void)
{
	enter((struct uffd_event){.kind = UFFD_FORK, .child = open("/dev/null", O_RDONLY)});
}

static void an_arrival_waits_for_what_explains_it(void)
{
	begin();
	enter_move();
	CU_ASSERT_EQUAL(resident(FROM), PAGES);
	enter_unmapping(TO);
	CU_ASSERT_EQUAL(resident(FROM), 0);
	CU_ASSERT_EQUAL(resident(TO), PAGES);
	end();
}

static void a_fork_is_behind_a_late_arrival_and_before_what_follows(void)
{
	begin();
	enter_move();
	enter_fork();
	enter_removal(BESIDE);
	CU_ASSERT_EQUAL(forks(), 0);
	CU_ASSERT_EQUAL(resident(BESIDE), PAGES);
	enter_unmapping(TO);
	CU_ASSERT_EQUAL(forks(), 1);
	CU_ASSERT_EQUAL(resident(FROM), 0);
	CU_ASSERT_EQUAL(resident(TO), PAGES);
	CU_ASSERT_EQUAL(resident(BESIDE), 0);
	end();
}

static void moving_away_explains_as_well_as_unmapping(void)
{
	begin();
	enter_move();
	enter_fork();
	enter((struct uffd_event){.kind = UFFD_REMAP, .remap = {TO, BESIDE + BYTES, BYTES}});
	CU_ASSERT_EQUAL(forks(), 0); /* the old range stays in the books until it is unmapped */
	enter_unmapping(TO);
	CU_ASSERT_EQUAL(forks(), 1);
	CU_ASSERT_EQUAL(resident(TO), PAGES);
	CU_ASSERT_EQUAL(resident(BESIDE + BYTES), PAGES);
	end();
}

static void what_follows_a_fork_waits_until_the_run_has_left(void)
{
	begin();
	engine->remap.source = BESIDE;
	engine->remap.bytes = PAGE_BYTES;
	enter_fork();
	enter_unmapping(TO);
	enter_move();
	CU_ASSERT_EQUAL(forks(), 0);
	CU_ASSERT_EQUAL(engine->late_forks, 1);
	CU_ASSERT_FALSE(event_is_settled(fault));
	CU_ASSERT_EQUAL(resident(FROM), PAGES);
	engine->remap.over = true;
	CU_ASSERT_TRUE(event_is_settled(fault));
	CU_ASSERT_EQUAL(forks(), 1);
	CU_ASSERT_EQUAL(resident(FROM), 0);
	CU_ASSERT_EQUAL(resident(TO), PAGES);
	end();
}

static void a_fork_waits_for_nothing_when_all_is_home(void)
{
	begin();
	atomic_store(&engine->recalls, 1);
	enter_move();
	enter_fork();
	CU_ASSERT_EQUAL(forks(), 1);
	enter_unmapping(TO);
	CU_ASSERT_EQUAL(resident(TO), PAGES);
	end();
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(an_arrival_waits_for_what_explains_it),
		SUITE_TEST(a_fork_is_behind_a_late_arrival_and_before_what_follows),
		SUITE_TEST(moving_away_explains_as_well_as_unmapping),
		SUITE_TEST(what_follows_a_fork_waits_until_the_run_has_left),
		SUITE_TEST(a_fork_waits_for_nothing_when_all_is_home),
		SUITE_END,
	};

	return suite_run("events", tests);
}
