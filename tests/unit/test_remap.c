/*
 * Taking out by mremap(2), on a real userfaultfd: what the program can do between the steps is done
 * between the steps. A thread serves faults and enters changes as the fault thread does.
 */
#include "pager/remap.h"

#include "pager/fault.h"
#include "pager/own.h"
#include "pager/pagemap.h"
#include "tests/suite.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 16u
#define BYTES (PAGES * PAGE_BYTES)
#define STAGE_PAGES 64u
#define REGIONS 64u

static struct engine *engine;
static struct fault_thread *fault;
static uint32_t ids[PAGES];

/* ---- the fault thread ---- */

static void *serve(void *arg UNUSED)
{
	for (;;) {
		uint32_t end;

		(void)fault_read(fault);
		(void)!event_is_settled(fault);
		end = fault->todo_head;
		while (fault->todo_tail != end) {
			struct todo todo = fault->todo[fault->todo_tail++ % TODO_MAX];

			if (place_fault(fault, &todo) == LATER)
				fault->todo[fault->todo_head++ % TODO_MAX] = todo;
		}
		sched_yield();
	}
	return NULL;
}

static bool open_engine(void)
{
	struct region *list = own_reserve(REGIONS * sizeof(*list));
	pthread_t thread;

	engine = own_alloc(sizeof(*engine));
	fault = own_alloc(sizeof(*fault));
	uffd_probe(&engine->caps);
	engine->caps.move = false;
	engine->stats = own_alloc(sizeof(*engine->stats));
	engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	engine->pagemap_fd = pagemap_open();
	regions_init(&engine->regions, list, REGIONS);
	engine->fault = fault;
	fault->engine = engine;
	fault->zeros = own_alloc(FETCH_PAGES * PAGE_BYTES);
	return page_table_open(&engine->table) == 0 && fifo_open(&engine->order) == 0 &&
	       uffd_open(&engine->caps, true, &engine->uffd) == 0 &&
	       stage_open(&engine->stage, STAGE_PAGES, engine->uffd, -1) == 0 &&
	       pthread_create(&thread, NULL, serve, NULL) == 0;
}

/* ---- the program ---- */

static uint64_t word_of(unsigned page)
{
	return 0x1234567800000000u + page;
}

static uint64_t *word_at(const char *area, unsigned page)
{
	return (uint64_t *)(uintptr_t)(area + page * PAGE_BYTES);
}

static void fill(char *area)
{
	for (unsigned page = 0; page < PAGES; page++)
		*word_at(area, page) = word_of(page);
}

static bool is_filled(const char *area)
{
	for (unsigned page = 0; page < PAGES; page++)
		if (*word_at(area, page) != word_of(page))
			return false;
	return true;
}

static char *map_anywhere(void)
{
	char *area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(area, MAP_FAILED);
	return area;
}

/* Registers it and enters its pages as resident, whether they are there or not. */
static void adopt(char *area, bool found)
{
	uint32_t id;

	CU_ASSERT_EQUAL_FATAL(uffd_register(engine->uffd, (uintptr_t)area, BYTES, true), 0);
	engine_lock(engine);
	CU_ASSERT_EQUAL_FATAL(
		regions_add(&engine->regions, (uintptr_t)area, (uintptr_t)area + BYTES), 0);
	while (fifo_pop(engine->order, &id)) /* of earlier tests */
		page_set_queued(engine->table, page_by_id(engine->table, id), false);
	for (unsigned i = 0; i < PAGES; i++) {
		struct page *page = page_get(engine->table, (uintptr_t)area + i * PAGE_BYTES);

		engine_now_resident(engine, page);
		page->found = found;
		CU_ASSERT_TRUE_FATAL(fifo_pop(engine->order, &ids[i]));
	}
	engine_unlock(engine);
}

static char *adopted(void)
{
	char *area = map_anywhere();

	fill(area);
	adopt(area, false);
	return area;
}

static int begin(void)
{
	int err;

	engine_lock(engine);
	err = remap_begin(engine, ids, PAGES);
	engine_unlock(engine);
	return err;
}

static enum page_state state_at(const char *area, unsigned i)
{
	const struct page *page;
	enum page_state state;

	engine_lock(engine);
	page = page_find(engine->table, (uintptr_t)area + i * PAGE_BYTES);
	state = page ? (enum page_state)page->state : PAGE_NONE;
	engine_unlock(engine);
	return state;
}

static bool all_are(const char *area, enum page_state state)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (state_at(area, i) != state)
			return false;
	return true;
}

/* Ends the test: nothing of it is left, and the staging area is as new. */
static void leave(char *area)
{
	struct stage *stage = &engine->stage;

	CU_ASSERT_EQUAL(atomic_load(&engine->end_wanted), 0);
	munmap(area, BYTES);
	stage_drop(stage, stage->tail, (uint32_t)stage_level(stage));
	engine_lock(engine);
	stage->tail = stage->head;
	engine_unlock(engine);
	CU_ASSERT_EQUAL(stage->mappings, 0);
	CU_ASSERT_EQUAL(stage->lost_end, 0);
	CU_ASSERT_EQUAL(engine->remap.bytes, 0);
}

/* ---- the promises ---- */

static void a_run_leaves_and_comes_back(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_TRUE(all_are(area, PAGE_STAGED));
	for (unsigned i = 0; i < PAGES; i++)
		CU_ASSERT_FALSE(pagemap_page_is_there(engine->pagemap_fd,
						      (uintptr_t)area + i * PAGE_BYTES));
	CU_ASSERT_EQUAL(engine->stage.mappings, 1);
	CU_ASSERT_TRUE(is_filled(area));
	CU_ASSERT_TRUE(all_are(area, PAGE_RESIDENT));
	leave(area);
}

struct writing {
	uint64_t *at;
	_Atomic bool done;
};

static void *write_word(void *arg)
{
	struct writing *writing = arg;

	*writing->at = 99;
	atomic_store(&writing->done, true);
	return NULL;
}

static void a_write_waits_until_the_run_has_left(void)
{
	char *area = adopted();
	struct writing writing = {.at = word_at(area, 3)};
	uint64_t place = engine->stage.head + 3;
	pthread_t thread;

	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, write_word, &writing), 0);
	usleep(30000);
	CU_ASSERT_FALSE(atomic_load(&writing.done));
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(*word_at(area, 3), 99);
	CU_ASSERT_EQUAL(*(uint64_t *)(uintptr_t)stage_address(&engine->stage,
							      stage_place(&engine->stage, place)),
			word_of(3));
	*word_at(area, 3) = word_of(3);
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

static void what_is_locked_stays_and_can_be_written(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL_FATAL(syscall(SYS_mlock, area, BYTES), 0); /* sanitizers ignore mlock() */
	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), -EINVAL);
	CU_ASSERT_TRUE(all_are(area, PAGE_RESIDENT));
	fill(area);
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

static void what_is_two_mappings_stays(void)
{
	char *area = adopted();
	int err;

	CU_ASSERT_EQUAL_FATAL(mprotect(area, BYTES / 2, PROT_READ), 0);
	err = begin(); /* some kernels see it here, others when it is moved */
	if (!err)
		err = remap_finish(engine);
	CU_ASSERT_EQUAL(err, -EINVAL);
	CU_ASSERT_TRUE(all_are(area, PAGE_RESIDENT));
	CU_ASSERT_EQUAL_FATAL(mprotect(area, BYTES / 2, PROT_READ | PROT_WRITE), 0);
	fill(area);
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

static void what_cannot_be_read_leaves_and_comes_back(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL_FATAL(mprotect(area, BYTES, PROT_NONE), 0);
	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_TRUE(all_are(area, PAGE_STAGED));
	CU_ASSERT_EQUAL_FATAL(mprotect(area, BYTES, PROT_READ), 0);
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

/* Unmapped in one thread and mapped in another: for us that is no difference. */
static void another_mapping_in_its_place_goes_back(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	munmap(area, BYTES);
	CU_ASSERT_PTR_EQUAL_FATAL(mmap(area, BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
				  area);
	fill(area);
	CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	CU_ASSERT_TRUE(is_filled(area));
	CU_ASSERT_EQUAL(engine->stage.head, engine->stage.tail);
	leave(area);
}

struct touching {
	char *area;
	unsigned page;
	_Atomic bool ready;
};

/* The books are kept from going on until it has touched the page. */
static void *touch_when_gone(void *arg)
{
	struct touching *touching = arg;

	engine_lock(engine);
	atomic_store(&touching->ready, true);
	while (pagemap_page_is_there(engine->pagemap_fd, (uintptr_t)touching->area))
		sched_yield();
	if (touching->page < PAGES)
		*word_at(touching->area, touching->page) = word_of(touching->page);
	else /* registers it, rather */
		CU_ASSERT_EQUAL(uffd_register(engine->uffd, (uintptr_t)touching->area, BYTES, true),
				0);
	engine_unlock(engine);
	return NULL;
}

/* A page that nobody had touched before is there when the others come back. */
static void a_page_of_another_mapping_may_be_touched_for_the_first_time(void)
{
	char *area = adopted();
	struct touching touching = {.area = area, .page = 3};
	pthread_t thread;

	CU_ASSERT_EQUAL(begin(), 0);
	munmap(area, BYTES);
	CU_ASSERT_PTR_EQUAL_FATAL(mmap(area, BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
				  area);
	for (unsigned page = 0; page < PAGES; page++)
		if (page != 3 && page != 4)
			*word_at(area, page) = word_of(page);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, touch_when_gone, &touching), 0);
	while (!atomic_load(&touching.ready))
		sched_yield();
	CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	CU_ASSERT_EQUAL(*word_at(area, 3), word_of(3));
	CU_ASSERT_EQUAL(*word_at(area, 4), 0);
	*word_at(area, 4) = word_of(4);
	CU_ASSERT_TRUE(is_filled(area));
	CU_ASSERT_EQUAL(engine->stage.head, engine->stage.tail);
	leave(area);
}

/* Adopted while it was away: its unmapping is reported, and who reads that wants the lock. */
static void another_mapping_that_is_registered_meanwhile_goes_back(void)
{
	char *area = adopted();
	struct touching touching = {.area = area, .page = PAGES};
	pthread_t thread;

	CU_ASSERT_EQUAL(begin(), 0);
	munmap(area, BYTES);
	CU_ASSERT_PTR_EQUAL_FATAL(mmap(area, BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
				  area);
	fill(area);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, touch_when_gone, &touching), 0);
	while (!atomic_load(&touching.ready))
		sched_yield();
	CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

/* A child inherits it, and it is protected as before. */
static void another_mapping_that_goes_back_is_as_it_was(void)
{
	char *area = adopted();
	pid_t pid;
	int status;

	CU_ASSERT_EQUAL(begin(), 0);
	munmap(area, BYTES);
	CU_ASSERT_PTR_EQUAL_FATAL(mmap(area, BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
				  area);
	fill(area);
	CU_ASSERT_EQUAL_FATAL(mprotect(area, BYTES, PROT_READ), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
	pid = fork();
	if (pid == 0)
		_exit(is_filled(area) ? 0 : 1);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(write(engine->wake_fd, area, 8), 8);
	CU_ASSERT_EQUAL(read(engine->wake_fd, area, 8), -1);
	CU_ASSERT_EQUAL(errno, EFAULT);
	leave(area);
}

static void what_was_unmapped_meanwhile_is_forgotten(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	munmap(area, BYTES);
	CU_ASSERT_EQUAL(remap_finish(engine), -EINVAL);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	leave(area);
}

/* The mapping stays, and is ours, and empty. */
static void what_was_moved_away_before_is_resident_there(void)
{
	char *area = adopted(), *to;

	CU_ASSERT_EQUAL(begin(), 0);
	to = mremap(area, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(to, MAP_FAILED);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	CU_ASSERT_TRUE(all_are(to, PAGE_RESIDENT));
	CU_ASSERT_TRUE(is_filled(to));
	fill(to); /* they were protected when they went */
	CU_ASSERT_TRUE(is_filled(to));
	CU_ASSERT_EQUAL(*word_at(area, 0), 0);
	munmap(to, BYTES);
	leave(area);
}

static void what_was_dropped_meanwhile_reads_as_zeros(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL(madvise(area + 2 * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_EQUAL(*word_at(area, 2), 0);
	*word_at(area, 2) = word_of(2);
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

static void a_page_that_the_kernel_has_freed_is_forgotten(void)
{
	char *area = map_anywhere();

	fill(area);
	CU_ASSERT_EQUAL_FATAL(madvise(area + 5 * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED), 0);
	adopt(area, true);
	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_EQUAL(state_at(area, 5), PAGE_NONE);
	CU_ASSERT_EQUAL(state_at(area, 6), PAGE_STAGED);
	CU_ASSERT_EQUAL(*word_at(area, 5), 0);
	leave(area);
}

static void a_page_that_cannot_be_missing_ends_the_program(void)
{
	char *area = map_anywhere();

	fill(area);
	CU_ASSERT_EQUAL_FATAL(madvise(area + 5 * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED), 0);
	adopt(area, false);
	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_EQUAL(atomic_exchange(&engine->end_wanted, 0), 1);
	CU_ASSERT_EQUAL(atomic_load(&engine->end_address), (uintptr_t)area + 5 * PAGE_BYTES);
	leave(area);
}

/* Of other content: page i has word_of(OTHER + i). */
#define OTHER 100u

static char *adopted_other(bool found)
{
	char *area = map_anywhere();

	for (unsigned i = 0; i < PAGES; i++)
		*word_at(area, i) = word_of(OTHER + i);
	adopt(area, found);
	engine_lock(engine);
	for (unsigned i = 0; i < PAGES; i++) /* their entries have been taken from the order */
		page_set_queued(engine->table, page_by_id(engine->table, ids[i]), false);
	engine_unlock(engine);
	return area;
}

static void move_to(char *from, char *to)
{
	CU_ASSERT_PTR_EQUAL_FATAL(mremap(from, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to),
				  to);
}

static void check_other(const char *area)
{
	for (unsigned i = 0; i < PAGES; i++)
		CU_ASSERT_EQUAL(*word_at(area, i), word_of(OTHER + i));
}

static void check_moved_into_its_place(bool found)
{
	char *other = adopted_other(found), *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	move_to(other, area);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_TRUE(all_are(area, PAGE_STAGED));
	check_other(area);
	CU_ASSERT_TRUE(all_are(area, PAGE_RESIDENT));
	leave(area);
}

static void what_was_moved_into_its_place_comes_back(void)
{
	check_moved_into_its_place(false);
	check_moved_into_its_place(true);
}

static void what_changed_places_is_where_it_was_put(void)
{
	char *other = adopted_other(true), *area = adopted(), *to = map_anywhere();

	CU_ASSERT_EQUAL(begin(), 0);
	move_to(area, to);
	move_to(other, area);
	CU_ASSERT_EQUAL(remap_finish(engine), 0);
	CU_ASSERT_TRUE(all_are(to, PAGE_RESIDENT));
	CU_ASSERT_TRUE(is_filled(to));
	check_other(area);
	fill(to); /* they were protected when they went */
	CU_ASSERT_TRUE(is_filled(to));
	munmap(to, BYTES);
	leave(area);
}

static void *unmap(void *area)
{
	munmap(area, PAGE_BYTES);
	return NULL;
}

static void nothing_begins_while_the_map_changes(void)
{
	char *area = adopted();
	pthread_t thread;

	engine_lock(engine); /* so that the change is not read */
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, unmap, area), 0);
	while (!uffd_is_changing(engine->uffd, engine->stage.base))
		sched_yield();
	CU_ASSERT_EQUAL(remap_begin(engine, ids, PAGES), -EAGAIN);
	CU_ASSERT_EQUAL(engine->stage.head, engine->stage.tail);
	engine_unlock(engine);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(state_at(area, 0), PAGE_NONE);
	CU_ASSERT_EQUAL(state_at(area, 1), PAGE_RESIDENT);
	leave(area);
}

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(a_run_leaves_and_comes_back),
		SUITE_TEST(a_write_waits_until_the_run_has_left),
		SUITE_TEST(what_is_locked_stays_and_can_be_written),
		SUITE_TEST(what_is_two_mappings_stays),
		SUITE_TEST(what_cannot_be_read_leaves_and_comes_back),
		SUITE_TEST(another_mapping_in_its_place_goes_back),
		SUITE_TEST(another_mapping_that_goes_back_is_as_it_was),
		SUITE_TEST(another_mapping_that_is_registered_meanwhile_goes_back),
		SUITE_TEST(a_page_of_another_mapping_may_be_touched_for_the_first_time),
		SUITE_TEST(what_was_unmapped_meanwhile_is_forgotten),
		SUITE_TEST(what_was_moved_away_before_is_resident_there),
		SUITE_TEST(what_was_dropped_meanwhile_reads_as_zeros),
		SUITE_TEST(a_page_that_the_kernel_has_freed_is_forgotten),
		SUITE_TEST(a_page_that_cannot_be_missing_ends_the_program),
		SUITE_TEST(what_was_moved_into_its_place_comes_back),
		SUITE_TEST(what_changed_places_is_where_it_was_put),
		SUITE_TEST(nothing_begins_while_the_map_changes),
		SUITE_END,
	};
	struct uffd_caps caps;

	uffd_probe(&caps);
	if (caps.way != UFFD_SYSCALL && caps.way != UFFD_DEVICE)
		tests[0].inactive = "userfaultfd is not permitted";
	else if (!caps.protect || !caps.events)
		tests[0].inactive = "this kernel's userfaultfd cannot protect pages";
	for (unsigned i = 0; tests[i].name; i++)
		tests[i].inactive = tests[0].inactive;
	if (!tests[0].inactive && !open_engine())
		return 1;
	return suite_run("remap", tests);
}
