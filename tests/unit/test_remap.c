/* Taking out by mremap(2). */
#include "tests/unit/remap_bed.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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
	CU_ASSERT_EQUAL(remap_finish(engine), -EPERM);
	CU_ASSERT_TRUE(all_are(area, PAGE_RESIDENT));
	fill(area);
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

/* Then shorter runs are worth a try. */
static void what_is_locked_in_part_stays(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL_FATAL(syscall(SYS_mlock, area, BYTES / 2), 0);
	CU_ASSERT_EQUAL(begin(), 0);
	CU_ASSERT_EQUAL(remap_finish(engine), -EINVAL);
	CU_ASSERT_TRUE(all_are(area, PAGE_RESIDENT));
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
		SUITE_TEST(what_is_locked_in_part_stays),
		SUITE_TEST(what_is_two_mappings_stays),
		SUITE_TEST(what_cannot_be_read_leaves_and_comes_back),
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

	return bed_run("remap", tests);
}
