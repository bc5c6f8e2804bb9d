/*
 * claim.h: between the list and the registering the program has changed its map. Whatever it did,
 * what it has mapped is one mapping to mremap(2), on a real userfaultfd.
 */
#include "pager/claim.h"

#include "pager/own.h"
#include "tests/suite.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16u
#define BYTES (PAGES * PAGE_BYTES)
#define REGIONS 64u
#define PART (4 * PAGE_BYTES)

static struct engine *engine;
static struct exclude exclude;
static struct claim claim;
static char *arena; /* 5 * BYTES, kept from others between tests */

/* ---- what the program does ---- */

static void map(char *at, size_t bytes)
{
	CU_ASSERT_PTR_EQUAL_FATAL(mmap(at, bytes, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
				  at);
	*at = 1;
}

/* By moving it away, which only what is one mapping allows. */
static bool is_one(char *at, size_t bytes)
{
	char *to = arena + 3 * BYTES; /* of two */
	bool moved = mremap(at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;

	munmap(to, bytes);
	return moved;
}

static bool is_registered(const char *at)
{
	uint64_t done;
	int err = uffd_zero(engine->uffd, (uintptr_t)at, PAGE_BYTES, &done);

	return err == 0 || err == -EEXIST;
}

static struct stretch stretch_of(const char *at, size_t bytes, size_t hole)
{
	return (struct stretch){(uintptr_t)at, (uintptr_t)at + bytes, (uintptr_t)at + bytes + hole};
}

static bool is_claimed(struct stretch *stretch)
{
	enum claimed claimed = claim_stretch(&claim, stretch);

	return claimed == CLAIM_DONE || claimed == CLAIM_MORE;
}

static void begin(void)
{
	munmap(arena, 5 * BYTES);
}

static void end(void)
{
	CU_ASSERT_PTR_EQUAL(
		mmap(arena, 5 * BYTES, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		arena);
	engine->regions.count = 0;
}

/* ---- tests ---- */

static void what_is_as_listed_is_registered(void)
{
	struct stretch stretch = stretch_of(arena, BYTES, 0);

	begin();
	map(arena, BYTES);
	CU_ASSERT_EQUAL(claim_stretch(&claim, &stretch), CLAIM_DONE);
	CU_ASSERT_TRUE(is_registered(arena));
	CU_ASSERT_TRUE(is_registered(arena + BYTES - PAGE_BYTES));
	CU_ASSERT_TRUE(is_one(arena, BYTES));
	end();
}

static void what_is_gone_is_left(void)
{
	struct stretch stretch = stretch_of(arena, BYTES, 0);

	begin();
	CU_ASSERT_NOT_EQUAL(claim_stretch(&claim, &stretch), CLAIM_DONE);
	end();
}

static void what_begins_earlier_by_now_is_one(void)
{
	struct stretch stretch = stretch_of(arena + PART, BYTES - PART, 0);

	begin();
	map(arena, BYTES);
	CU_ASSERT_TRUE(is_claimed(&stretch));
	CU_ASSERT_TRUE(is_registered(arena));
	CU_ASSERT_TRUE(is_registered(arena + BYTES - PAGE_BYTES));
	CU_ASSERT_TRUE(is_one(arena, BYTES));
	end();
}

static void what_ends_later_by_now_is_one(void)
{
	struct stretch stretch = stretch_of(arena, BYTES - PART, 0);

	begin();
	map(arena, BYTES);
	CU_ASSERT_TRUE(is_claimed(&stretch));
	CU_ASSERT_TRUE(is_registered(arena));
	CU_ASSERT_TRUE(is_registered(arena + BYTES - PAGE_BYTES));
	CU_ASSERT_TRUE(is_one(arena, BYTES));
	end();
}

/* The hole was listed up to something that is gone by now. */
static void what_lies_across_the_end_of_the_hole_is_one(void)
{
	struct stretch stretch = stretch_of(arena, BYTES, BYTES);

	begin();
	map(arena, BYTES);
	map(arena + 2 * BYTES - PART, 2 * PART);
	CU_ASSERT_TRUE(is_claimed(&stretch));
	CU_ASSERT_TRUE(is_registered(arena));
	CU_ASSERT_TRUE(is_one(arena + 2 * BYTES - PART, 2 * PART));
	CU_ASSERT_TRUE(is_one(arena, BYTES));
	end();
}

/* Pages that were touched before the mapping is in the books are in the regions one by one. */
static void gaps_of_what_is_registered_are_claimed(void)
{
	struct stretch stretch = stretch_of(arena, BYTES, 0);

	begin();
	map(arena, BYTES);
	CU_ASSERT_EQUAL(claim_stretch(&claim, &stretch), CLAIM_DONE);
	CU_ASSERT_EQUAL(regions_add(&engine->regions, (uintptr_t)arena + PART,
				    (uintptr_t)arena + PART + PAGE_BYTES),
			0);
	stretch = stretch_of(arena + PART + PAGE_BYTES, BYTES - PART - PAGE_BYTES, 0);
	CU_ASSERT_EQUAL(claim_stretch(&claim, &stretch), CLAIM_DONE);
	CU_ASSERT_TRUE(is_one(arena, BYTES));
	end();
}

/* Registered before, it has grown since, and is larger than was listed. */
static void what_is_registered_and_has_grown_is_claimed(void)
{
	struct stretch stretch = stretch_of(arena, BYTES, 0);

	begin();
	map(arena, BYTES);
	CU_ASSERT_TRUE(is_claimed(&stretch));
	CU_ASSERT_EQUAL(regions_add(&engine->regions, stretch.start, stretch.end), 0);
	CU_ASSERT_PTR_EQUAL_FATAL(mremap(arena, BYTES, 2 * BYTES, 0), arena);
	stretch = stretch_of(arena + BYTES, PART, BYTES);
	CU_ASSERT_TRUE(is_claimed(&stretch));
	CU_ASSERT_TRUE(stretch.limit >= stretch.end);
	CU_ASSERT_TRUE(is_registered(arena + 2 * BYTES - PAGE_BYTES));
	CU_ASSERT_TRUE(is_one(arena, 2 * BYTES));
	end();
}

/* A part that is closed for a moment: the whole is one again afterwards. */
static void what_is_read_only_in_part_is_one_afterwards(void)
{
	char *const parts[] = {arena, arena + PART, arena + 2 * PART, arena + BYTES};

	begin();
	map(arena, BYTES);
	CU_ASSERT_EQUAL_FATAL(mprotect(parts[1], PART, PROT_READ), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct stretch stretch = stretch_of(parts[i], (size_t)(parts[i + 1] - parts[i]), 0);

		CU_ASSERT_TRUE(is_claimed(&stretch));
	}
	CU_ASSERT_EQUAL_FATAL(mprotect(parts[1], PART, PROT_READ | PROT_WRITE), 0);
	CU_ASSERT_TRUE(is_one(arena, BYTES));
	end();
}

static void what_the_program_has_registered_itself_is_refused(void)
{
	struct stretch stretch = stretch_of(arena, BYTES, 0);
	int other;

	begin();
	CU_ASSERT_EQUAL_FATAL(uffd_open(&engine->caps, false, &other), 0);
	map(arena, BYTES);
	CU_ASSERT_EQUAL_FATAL(uffd_register(other, (uintptr_t)arena, BYTES, false), 0);
	CU_ASSERT_EQUAL(claim_stretch(&claim, &stretch), CLAIM_REFUSED);
	close(other);
	end();
}

static bool open_engine(void)
{
	engine = own_alloc(sizeof(*engine));
	uffd_probe(&engine->caps);
	regions_init(&engine->regions, own_reserve(REGIONS * sizeof(struct region)), REGIONS);
	engine->maps_fd = maps_open();
	claim = (struct claim){engine, &exclude, own_alloc(MAPS_BUFFER_BYTES + MAPS_NAME_BYTES)};
	arena = mmap(NULL, 7 * BYTES, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	arena += BYTES; /* so that no mapping of others adjoins it */
	return engine->maps_fd >= 0 && uffd_open(&engine->caps, false, &engine->uffd) == 0;
}

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(what_is_as_listed_is_registered),
		SUITE_TEST(what_is_gone_is_left),
		SUITE_TEST(what_begins_earlier_by_now_is_one),
		SUITE_TEST(what_ends_later_by_now_is_one),
		SUITE_TEST(what_lies_across_the_end_of_the_hole_is_one),
		SUITE_TEST(gaps_of_what_is_registered_are_claimed),
		SUITE_TEST(what_is_registered_and_has_grown_is_claimed),
		SUITE_TEST(what_is_read_only_in_part_is_one_afterwards),
		SUITE_TEST(what_the_program_has_registered_itself_is_refused),
		SUITE_END,
	};
	struct uffd_caps caps;

	uffd_probe(&caps);
	if (caps.way != UFFD_SYSCALL && caps.way != UFFD_DEVICE)
		suite_set_inactive(tests, "userfaultfd is not permitted");
	if (!tests[0].inactive && !open_engine())
		return 1;
	return suite_run("claim", tests);
}
