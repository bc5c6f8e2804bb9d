/*
 * Moving pages on a real userfaultfd, into a real staging area. What a kernel moves without saying
 * so is moved by hand before the call: to the caller it is the same.
 */
#include "pager/move.h"

#include "pager/pagemap.h"
#include "pager/stage.h"
#include "pager/uffd.h"
#include "tests/suite.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 8u
#define BYTES (PAGES * PAGE_BYTES)
#define STAGE_PAGES 16u

static struct stage stage;
static int uffd, trash_uffd, pagemap_fd;
static char *area; /* of PAGES pages, each with its number in front, registered */

static uint64_t in_area(unsigned page)
{
	return (uintptr_t)area + page * PAGE_BYTES;
}

static uint64_t in_stage(unsigned page)
{
	return stage_address(&stage, page);
}

static uint64_t first_word(uint64_t address)
{
	return *(uint64_t *)(uintptr_t)address;
}

static bool is_there(uint64_t address)
{
	return pagemap_page_is_there(pagemap_fd, address);
}

static int open_all(void)
{
	struct uffd_caps caps;
	int err;

	uffd_probe(&caps);
	err = uffd_open(&caps, false, &uffd);
	if (!err)
		err = uffd_open(&caps, false, &trash_uffd);
	pagemap_fd = pagemap_open();
	return err ? err : pagemap_fd < 0 ? pagemap_fd : 0;
}

static void begin(void)
{
	CU_ASSERT_EQUAL_FATAL(stage_open(&stage, STAGE_PAGES, uffd, trash_uffd), 0);
	area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(area, MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(madvise(area, BYTES, MADV_NOHUGEPAGE), 0);
	for (unsigned page = 0; page < PAGES; page++)
		*(uint64_t *)(uintptr_t)in_area(page) = page + 1;
	CU_ASSERT_EQUAL_FATAL(uffd_register(uffd, in_area(0), BYTES, false), 0);
}

static void end(void)
{
	munmap(area, BYTES);
	stage_close(&stage);
}

/* As the kernel does, without saying so. */
static void move_untold(unsigned page, unsigned n)
{
	uint64_t done;

	CU_ASSERT_EQUAL_FATAL(
		uffd_move(uffd, in_stage(page), in_area(page), n * PAGE_BYTES, false, &done), 0);
}

static int move(unsigned page, unsigned n, uint64_t *pages)
{
	uint64_t done;
	int err = move_counted(uffd, pagemap_fd, in_stage(page), in_area(page), n * PAGE_BYTES,
			       &done);

	*pages = done / PAGE_BYTES;
	return err;
}

/* Pages before `n` are in the staging area, the others are not. */
static void check_moved(unsigned n)
{
	for (unsigned page = 0; page < PAGES; page++) {
		CU_ASSERT_EQUAL(is_there(in_stage(page)), page < n);
		CU_ASSERT_EQUAL(is_there(in_area(page)), page >= n);
		CU_ASSERT_EQUAL(first_word(page < n ? in_stage(page) : in_area(page)), page + 1);
	}
}

/* ---- counting ---- */

static void what_is_told_is_counted(void)
{
	uint64_t pages;

	begin();
	CU_ASSERT_EQUAL(move(0, PAGES, &pages), 0);
	CU_ASSERT_EQUAL(pages, PAGES);
	check_moved(PAGES);
	end();
}

static void what_is_not_told_is_counted(void)
{
	uint64_t pages;

	begin();
	move_untold(0, 3);
	CU_ASSERT_EQUAL(move(0, PAGES, &pages), -EAGAIN);
	CU_ASSERT_EQUAL(pages, 3);
	check_moved(3);
	end();
}

static void what_is_not_told_after_some_that_are_is_counted(void)
{
	uint64_t pages;

	begin();
	move_untold(2, 3);
	CU_ASSERT_EQUAL(move(0, PAGES, &pages), -EAGAIN);
	CU_ASSERT_EQUAL(pages, 5);
	check_moved(5);
	end();
}

static void all_of_it_untold_is_all_of_it(void)
{
	uint64_t pages;

	begin();
	move_untold(0, PAGES);
	CU_ASSERT_EQUAL(move(0, PAGES, &pages), 0);
	CU_ASSERT_EQUAL(pages, PAGES);
	check_moved(PAGES);
	end();
}

static void something_in_the_way_is_not_taken_for_it(void)
{
	uint64_t pages, done;

	begin();
	CU_ASSERT_EQUAL_FATAL(uffd_zero(uffd, in_stage(1), PAGE_BYTES, &done), 0);
	CU_ASSERT_EQUAL(move(0, PAGES, &pages), -EAGAIN);
	CU_ASSERT_EQUAL(pages, 1);
	CU_ASSERT_EQUAL(move(1, PAGES - 1, &pages), -EEXIST);
	CU_ASSERT_EQUAL(pages, 0);
	CU_ASSERT_EQUAL(first_word(in_stage(1)), 0);
	CU_ASSERT_EQUAL(first_word(in_area(1)), 2);
	end();
}

static void what_is_nowhere_is_not_counted(void)
{
	uint64_t pages;

	begin();
	CU_ASSERT_EQUAL_FATAL(madvise(area, PAGE_BYTES, MADV_DONTNEED), 0);
	CU_ASSERT_EQUAL(move(0, PAGES, &pages), -ENOENT);
	CU_ASSERT_EQUAL(pages, 0);
	end();
}

/* ---- whoever waits ---- */

static atomic_uint_fast64_t seen;

static void *look(void *arg UNUSED)
{
	atomic_store(&seen, first_word(in_area(0)));
	return NULL;
}

/* Moved back without a wake-up, since the kernel wakes only for what it tells. */
static void who_waits_for_what_is_not_told_is_woken(void)
{
	struct {
		uint64_t to, from, bytes, mode;
		int64_t moved;
	} quiet = {0, 0, PAGE_BYTES, 1, 0}; /* struct uffdio_move; UFFDIO_MOVE_MODE_DONTWAKE */
	pthread_t thread;
	uint64_t done;

	begin();
	atomic_store(&seen, 0);
	move_untold(0, 1);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, look, NULL), 0);
	usleep(30000);
	quiet.to = in_area(0);
	quiet.from = in_stage(0);
	CU_ASSERT_EQUAL_FATAL(ioctl(uffd, _IOWR(0xAA, 5, quiet), &quiet), 0);
	usleep(10000);
	CU_ASSERT_EQUAL(atomic_load(&seen), 0);
	CU_ASSERT_EQUAL(move_counted(uffd, pagemap_fd, in_area(0), in_stage(0), PAGE_BYTES, &done),
			0);
	CU_ASSERT_EQUAL(done, PAGE_BYTES);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(atomic_load(&seen), 1);
	end();
}

/* ---- what cannot be dropped ---- */

/* Places from the tail to the head are done with. */
static void fill_stage(unsigned n)
{
	move_untold(0, n);
	stage.head = n;
	for (unsigned place = 0; place < n; place++)
		stage.phases[place] = STAGE_DEAD;
}

static void drop(unsigned n)
{
	stage_drop(&stage, stage.tail, n);
	stage.tail += n;
}

static void what_is_pinned_is_left_and_passed_over_and_dropped_later(void)
{
	struct iovec pinned;
	struct io_uring ring;

	begin();
	CU_ASSERT_EQUAL_FATAL(io_uring_queue_init(4, &ring, 0), 0);
	fill_stage(4);
	pinned = (struct iovec){(void *)(uintptr_t)in_stage(1), PAGE_BYTES};
	CU_ASSERT_EQUAL_FATAL(io_uring_register_buffers(&ring, &pinned, 1), 0);
	drop(4);
	CU_ASSERT_EQUAL(stage.left_count, 1);
	for (unsigned place = 0; place < 4; place++)
		CU_ASSERT_EQUAL(is_there(in_stage(place)), place == 1);
	stage.head = stage.tail = STAGE_PAGES; /* once around */
	stage_pass_over_left(&stage);
	CU_ASSERT_EQUAL(stage.head, STAGE_PAGES);
	CU_ASSERT_EQUAL(stage_room(&stage, 4), 1);
	stage.head++;
	CU_ASSERT_EQUAL(stage_room(&stage, 4), 0);
	stage_pass_over_left(&stage);
	CU_ASSERT_EQUAL(stage.head, STAGE_PAGES + 2);
	CU_ASSERT_EQUAL(stage_room(&stage, 4), 4);
	io_uring_queue_exit(&ring);
	for (unsigned i = 0; i < 100 && stage.left_count;
	     i++) { /* the ring lets go a while later */
		usleep(10000);
		stage_drop(&stage, stage.tail, 2);
	}
	CU_ASSERT_EQUAL(stage.left_count, 0);
	CU_ASSERT_FALSE(is_there(in_stage(1)));
	end();
}

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(what_is_told_is_counted),
		SUITE_TEST(what_is_not_told_is_counted),
		SUITE_TEST(what_is_not_told_after_some_that_are_is_counted),
		SUITE_TEST(all_of_it_untold_is_all_of_it),
		SUITE_TEST(something_in_the_way_is_not_taken_for_it),
		SUITE_TEST(what_is_nowhere_is_not_counted),
		SUITE_TEST(who_waits_for_what_is_not_told_is_woken),
		SUITE_TEST(what_is_pinned_is_left_and_passed_over_and_dropped_later),
		SUITE_END,
	};
	struct uffd_caps caps;

	uffd_probe(&caps);
	if (uffd_why_not(&caps))
		suite_set_inactive(tests, "userfaultfd is not permitted");
	else if (!caps.move)
		suite_set_inactive(tests, "this kernel has no UFFDIO_MOVE");
	if (!tests[0].inactive && open_all())
		return 1;
	return suite_run("move", tests);
}
