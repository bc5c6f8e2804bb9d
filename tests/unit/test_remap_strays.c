/*
 * What takes the place of a run between begin and move is moved instead of it, or a part of it is.
 * It must be back before anybody can tell.
 */
#include "tests/unit/remap_bed.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- at once ---- */

/* Unmapped in one thread and mapped in another: for us that is no difference. */
static void another_mapping_goes_back(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, PAGES);
	fill(area);
	CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	CU_ASSERT_TRUE(is_filled(area));
	CU_ASSERT_EQUAL(engine->stage.head, engine->stage.tail);
	leave(area);
}

/* A child inherits it, and it is protected as before. */
static void it_is_as_it_was(void)
{
	char *area = adopted();
	pid_t pid;
	int status;

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, PAGES);
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

/* mremap(2) would refuse what has stayed two mappings. */
static void it_is_one_mapping_still(void)
{
	char *area = adopted(), *to;

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, PAGES);
	fill(area);
	CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
	to = mremap(area, BYTES, BYTES + PAGE_BYTES, MREMAP_MAYMOVE);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(to, MAP_FAILED);
	CU_ASSERT_TRUE(is_filled(to));
	munmap(to, BYTES + PAGE_BYTES);
	leave(area);
}

/* Since Linux 6.17 the first part is moved before the second one is refused. */
static void a_mapping_in_place_of_a_part_goes_back(void)
{
	for (unsigned first = 0; first < PAGES; first += 4) {
		char *area = adopted();

		CU_ASSERT_EQUAL(begin(), 0);
		map_another(area, first, 4);
		for (unsigned page = first; page < first + 4; page++)
			*word_at(area, page) = word_of(page);
		CU_ASSERT(remap_finish(engine) < 0);
		CU_ASSERT_TRUE(is_filled(area));
		CU_ASSERT_EQUAL(engine->stage.head, engine->stage.tail);
		leave(area);
	}
}

static void an_empty_mapping_in_place_of_a_part_costs_no_room(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, 4);
	CU_ASSERT(remap_finish(engine) < 0);
	CU_ASSERT_EQUAL(*word_at(area, 0), 0);
	CU_ASSERT_EQUAL(*word_at(area, 4), word_of(4));
	leave(area);
}

static void a_mapping_and_a_hole_are_as_they_were(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, PAGES);
	fill(area);
	munmap(area + 4 * PAGE_BYTES, 4 * PAGE_BYTES);
	CU_ASSERT(remap_finish(engine) < 0);
	CU_ASSERT_EQUAL(msync(area + 4 * PAGE_BYTES, PAGE_BYTES, MS_ASYNC), -1);
	CU_ASSERT_EQUAL(errno, ENOMEM);
	for (unsigned page = 0; page < PAGES; page++)
		if (page < 4 || page >= 8)
			CU_ASSERT_EQUAL(*word_at(area, page), word_of(page));
	leave(area);
}

static void a_file_in_its_place_is_as_it_was(void)
{
	char *area = adopted();
	int fd = memfd_create("other", MFD_CLOEXEC);
	uint64_t word;

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, BYTES), 0);
	CU_ASSERT_EQUAL(begin(), 0);
	munmap(area, BYTES);
	CU_ASSERT_PTR_EQUAL_FATAL(
		mmap(area, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0),
		area);
	fill(area);
	CU_ASSERT(remap_finish(engine) < 0);
	CU_ASSERT_TRUE(is_filled(area));
	*word_at(area, 3) = 99;
	CU_ASSERT_EQUAL(pread(fd, &word, sizeof(word), 3 * PAGE_BYTES), (ssize_t)sizeof(word));
	CU_ASSERT_EQUAL(word, 99);
	close(fd);
	leave(area);
}

/* ---- while somebody uses it ---- */

struct user {
	pthread_t thread;
	char *area;
	void (*act)(char *area); /* of act_when_gone() */
	_Atomic bool ready;
};

static void start_user(struct user *user, char *area, void *(*run)(void *))
{
	user->area = area;
	atomic_store(&user->ready, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&user->thread, NULL, run, user), 0);
	while (!atomic_load(&user->ready))
		sched_yield();
}

/* The books do not go on meanwhile. */
static void *act_when_gone(void *arg)
{
	struct user *user = arg;

	engine_lock(engine);
	atomic_store(&user->ready, true);
	while (pagemap_page_is_there(engine->pagemap_fd, (uintptr_t)user->area))
		sched_yield();
	user->act(user->area);
	engine_unlock(engine);
	return NULL;
}

/* Finishes while a user does this in the moment in which the run is gone. */
static void finish_while(char *area, void (*act)(char *area))
{
	struct user user = {.act = act};

	start_user(&user, area, act_when_gone);
	CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
	pthread_join(user.thread, NULL);
}

static void touch_the_fourth(char *area)
{
	*word_at(area, 3) = word_of(3);
}

/* A page that nobody had touched before is there when the others come back. */
static void a_page_may_be_touched_for_the_first_time(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, PAGES);
	for (unsigned page = 0; page < PAGES; page++)
		if (page != 3 && page != 4)
			*word_at(area, page) = word_of(page);
	finish_while(area, touch_the_fourth);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	CU_ASSERT_EQUAL(*word_at(area, 3), word_of(3));
	CU_ASSERT_EQUAL(*word_at(area, 4), 0);
	*word_at(area, 4) = word_of(4);
	CU_ASSERT_TRUE(is_filled(area));
	CU_ASSERT_EQUAL(engine->stage.head, engine->stage.tail);
	leave(area);
}

static void register_it(char *area)
{
	CU_ASSERT_EQUAL(uffd_register(engine->uffd, (uintptr_t)area, BYTES, true), 0);
}

/* Adopted while it was away: its unmapping is reported, and who reads that wants the lock. */
static void it_may_be_registered_meanwhile(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, PAGES);
	fill(area);
	finish_while(area, register_it);
	CU_ASSERT_TRUE(all_are(area, PAGE_NONE));
	CU_ASSERT_TRUE(is_filled(area));
	leave(area);
}

/* A new thread on its new stack, say. Pages of which two threads see something else are rare. */
#define FIRST_USED 2u
#define ROUNDS 2000u

static void *use_one_after_the_other(void *arg)
{
	struct user *user = arg;

	atomic_store(&user->ready, true);
	for (unsigned page = FIRST_USED; page < PAGES; page++)
		*word_at(user->area, page) = word_of(page);
	return NULL;
}

/* What was touched while the rest went back must not be overwritten by it. */
static void pages_may_be_touched_all_the_time(void)
{
	for (unsigned i = 0; i < ROUNDS && !atomic_load(&engine->end_wanted); i++) {
		char *area = adopted();
		struct user user;

		CU_ASSERT_EQUAL(begin(), 0);
		map_another(area, 0, PAGES);
		for (unsigned page = 0; page < FIRST_USED; page++)
			*word_at(area, page) = word_of(page);
		start_user(&user, area, use_one_after_the_other);
		CU_ASSERT_EQUAL(remap_finish(engine), -EAGAIN);
		pthread_join(user.thread, NULL);
		CU_ASSERT_TRUE_FATAL(is_filled(area));
		leave(area);
	}
}

/* ---- what cannot be mended ---- */

static void touch_the_first(char *area)
{
	*word_at(area, 0) += 1;
}

static void who_has_seen_zeros_ends_the_program(void)
{
	char *area = adopted();

	CU_ASSERT_EQUAL(begin(), 0);
	map_another(area, 0, PAGES);
	fill(area);
	finish_while(area, touch_the_first);
	CU_ASSERT_EQUAL(atomic_exchange(&engine->end_wanted, 0), 1);
	CU_ASSERT_EQUAL(atomic_load(&engine->end_address), (uintptr_t)area);
	leave(area);
}

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(another_mapping_goes_back),
		SUITE_TEST(it_is_as_it_was),
		SUITE_TEST(it_is_one_mapping_still),
		SUITE_TEST(a_mapping_in_place_of_a_part_goes_back),
		SUITE_TEST(an_empty_mapping_in_place_of_a_part_costs_no_room),
		SUITE_TEST(a_mapping_and_a_hole_are_as_they_were),
		SUITE_TEST(a_file_in_its_place_is_as_it_was),
		SUITE_TEST(a_page_may_be_touched_for_the_first_time),
		SUITE_TEST(it_may_be_registered_meanwhile),
		SUITE_TEST(pages_may_be_touched_all_the_time),
		SUITE_TEST(who_has_seen_zeros_ends_the_program),
		SUITE_END,
	};

	return bed_run("remap, strays", tests);
}
