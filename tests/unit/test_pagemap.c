#include "pager/pagemap.h"

#include "tests/suite.h"

#include <stdint.h>
#include <sys/mman.h>

#define PAGES 2000u

static int fd;

static char *map(void)
{
	char *at = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(at, MAP_FAILED);
	(void)madvise(at, PAGES * PAGE_BYTES, MADV_NOHUGEPAGE);
	return at;
}

static uint64_t address_of(const char *at, unsigned page)
{
	return (uintptr_t)at + page * PAGE_BYTES;
}

static void what_was_touched_is_there(void)
{
	uint64_t entries[PAGES];
	char *at = map();

	for (unsigned i = 0; i < PAGES; i += 7)
		at[i * PAGE_BYTES] = 1;
	CU_ASSERT_EQUAL_FATAL(pagemap_read(fd, (uintptr_t)at, PAGES, entries), PAGES);
	for (unsigned i = 0; i < PAGES; i++) {
		CU_ASSERT_EQUAL(pagemap_is_there(entries[i]), i % 7 == 0);
		CU_ASSERT_EQUAL(pagemap_page_is_there(fd, address_of(at, i)), i % 7 == 0);
	}
	munmap(at, PAGES * PAGE_BYTES);
}

static void what_was_dropped_is_not_there(void)
{
	char *at = map();

	at[0] = 1;
	CU_ASSERT_TRUE(pagemap_page_is_there(fd, (uintptr_t)at));
	CU_ASSERT_EQUAL(madvise(at, PAGE_BYTES, MADV_DONTNEED), 0);
	CU_ASSERT_FALSE(pagemap_page_is_there(fd, (uintptr_t)at));
	munmap(at, PAGES * PAGE_BYTES);
}

/* An engine that cannot tell must not take a page for lost. */
static void what_cannot_be_read_counts_as_there(void)
{
	CU_ASSERT_TRUE(pagemap_page_is_there(-1, PAGE_BYTES));
}

/* At `start`, where the kernel has no quick answer; else exactly. */
static void the_next_page_is_never_passed_over(void)
{
	char *at = map();
	uint64_t end = address_of(at, PAGES), next;

	next = pagemap_next(fd, address_of(at, 0), end);
	CU_ASSERT(next == end || next == address_of(at, 0));
	at[700 * PAGE_BYTES] = 1;
	next = pagemap_next(fd, address_of(at, 0), end);
	CU_ASSERT(next == address_of(at, 700) || next == address_of(at, 0));
	CU_ASSERT_EQUAL(pagemap_next(fd, address_of(at, 700), end), address_of(at, 700));
	next = pagemap_next(fd, address_of(at, 701), end);
	CU_ASSERT(next == end || next == address_of(at, 701));
	CU_ASSERT_EQUAL(pagemap_next(-1, address_of(at, 3), end), address_of(at, 3));
	munmap(at, PAGES * PAGE_BYTES);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(what_was_touched_is_there),
		SUITE_TEST(what_was_dropped_is_not_there),
		SUITE_TEST(what_cannot_be_read_counts_as_there),
		SUITE_TEST(the_next_page_is_never_passed_over),
		SUITE_END,
	};

	fd = pagemap_open();
	if (fd < 0)
		return 1;
	return suite_run("pagemap", tests);
}
