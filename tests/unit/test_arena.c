#include "donor/arena.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "donor/host.h"
#include "tests/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLAB_BYTES (2u << 20)
#define SLABS 4u
#define PATIENCE_MS 10000 /* far more than a loaded machine needs; only a failure takes as long */

static struct arena *arena;

static void open_arena(void)
{
	struct slab_kind kind = {.bytes = SLAB_BYTES, .node = HOST_NO_NODE};

	CU_ASSERT_EQUAL_FATAL(arena_open(&kind, SLABS, &arena), 0);
}

/* Waits until the worker has something to say. */
static void await_event(void)
{
	struct pollfd event = {arena_fd(arena), POLLIN, 0};

	CU_ASSERT_EQUAL_FATAL(poll(&event, 1, PATIENCE_MS), 1);
	arena_fd_clear(arena);
}

static struct slab *take(void)
{
	struct slab *slab = NULL;
	int err;

	arena_want(arena, 1, 0);
	while ((err = arena_take(arena, &slab)) == -EAGAIN)
		await_event();
	CU_ASSERT_EQUAL_FATAL(err, 0);
	arena_want(arena, 0, 0);
	return slab;
}

static void await_free(unsigned n)
{
	while (arena_slabs_free(arena) != n)
		await_event();
}

static bool is_all_zero(const struct slab *slab)
{
	const char *bytes = slab->base;

	return bytes[0] == 0 && memcmp(bytes, bytes + 1, slab->bytes - 1) == 0;
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void a_slab_never_carries_bytes_of_an_earlier_owner(void)
{
	open_arena();
	for (unsigned round = 0; round < 2 * SLABS; round++) {
		struct slab *slab = take();

		CU_ASSERT_TRUE(is_all_zero(slab));
		memset(slab->base, 0xa5, slab->bytes);
		arena_give(arena, slab);
		await_free(SLABS);
	}
	arena_close(arena);
}

static void a_client_that_keeps_its_mapping_keeps_no_bytes(void)
{
	struct slab *slab;
	struct slab theirs = {.bytes = SLAB_BYTES};
	int fd;

	open_arena();
	slab = take();
	memset(slab->base, 0xa5, slab->bytes);
	fd = dup(slab->memfd);
	theirs.base = mmap(NULL, SLAB_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(theirs.base, MAP_FAILED);
	arena_give(arena, slab);
	await_free(SLABS);
	CU_ASSERT_EQUAL(blocks_of(fd), 0);
	CU_ASSERT_TRUE(is_all_zero(&theirs));
	munmap(theirs.base, SLAB_BYTES);
	close(fd);
	arena_close(arena);
}

static void a_client_can_change_neither_size_nor_seals(void)
{
	const int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	struct slab *slab;

	open_arena();
	slab = take();
	CU_ASSERT_EQUAL(fcntl(slab->memfd, F_GET_SEALS), seals);
	CU_ASSERT_EQUAL(ftruncate(slab->memfd, SLAB_BYTES / 2), -1);
	CU_ASSERT_EQUAL(ftruncate(slab->memfd, 2 * SLAB_BYTES), -1);
	CU_ASSERT_EQUAL(fcntl(slab->memfd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	arena_give(arena, slab);
	arena_close(arena);
}

static void memory_of_a_lent_slab_is_there_in_full(void)
{
	struct slab *slab;

	open_arena();
	slab = take();
	CU_ASSERT_TRUE(blocks_of(slab->memfd) >= SLAB_BYTES);
	arena_give(arena, slab);
	arena_close(arena);
}

static void no_more_is_lent_than_there_is(void)
{
	struct slab *slabs[SLABS], *none = NULL;

	open_arena();
	for (unsigned i = 0; i < SLABS; i++)
		slabs[i] = take();
	CU_ASSERT_EQUAL(arena_slabs_free(arena), 0);
	CU_ASSERT_EQUAL(arena_take(arena, &none), -ENOSPC);
	CU_ASSERT_PTR_NULL(none);
	arena_give(arena, slabs[0]);
	slabs[0] = take();
	for (unsigned i = 0; i < SLABS; i++)
		arena_give(arena, slabs[i]);
	await_free(SLABS);
	arena_close(arena);
}

static void a_spare_slab_is_granted_without_waiting(void)
{
	struct slab *slab = NULL;

	open_arena();
	arena_want(arena, 0, 1);
	await_event();
	CU_ASSERT_EQUAL_FATAL(arena_take(arena, &slab), 0);
	arena_give(arena, slab);
	arena_close(arena);
}

/* Lines about slabs in a file about this process's mappings that also have `word`. */
static unsigned count_mapped(const char *path, const char *word)
{
	FILE *maps = fopen(path, "re");
	char line[512];
	unsigned n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "donord-slab") && strstr(line, word);
	fclose(maps);
	return n;
}

/* Slabs that exist: each is mapped once. */
static unsigned slabs_mapped(void)
{
	return count_mapped("/proc/self/maps", "");
}

static void an_idle_arena_has_no_memory(void)
{
	uint64_t deadline = clock_ns() + PATIENCE_MS * 1000000ull;

	open_arena();
	CU_ASSERT_EQUAL(slabs_mapped(), 0);
	arena_want(arena, 0, 2);
	while (slabs_mapped() != 2 && clock_ns() < deadline)
		usleep(1000);
	CU_ASSERT_EQUAL(slabs_mapped(), 2);
	arena_want(arena, 0, 0);
	while (slabs_mapped() && clock_ns() < deadline)
		usleep(1000);
	CU_ASSERT_EQUAL(slabs_mapped(), 0);
	arena_close(arena);
}

static void a_host_without_memory_gets_an_answer_and_another_try(void)
{
	struct slab_kind kind = {.bytes = 1ull << 50, .node = HOST_NO_NODE};
	struct slab *none = NULL;

	CU_ASSERT_EQUAL_FATAL(arena_open(&kind, 2, &arena), 0);
	for (unsigned tries = 0; tries < 2; tries++) {
		arena_want(arena, 1, 0);
		await_event();
		CU_ASSERT_EQUAL(arena_take(arena, &none), -ENOMEM);
		arena_want(arena, 0, 0);
	}
	arena_close(arena);
}

static _Atomic unsigned complaints;

static void count_line(void *arg UNUSED, enum log_level level UNUSED, const char *line UNUSED)
{
	complaints++;
}

/* Every question has the worker try again, and clients may ask as often as they like. */
static void a_slab_that_cannot_be_made_fills_no_log(void)
{
	/* Less than a huge page, of huge pages. */
	const struct slab_kind impossible = {1u << 20, true, HOST_NO_NODE};
	struct slab *slab;
	int err;

	log_set_sink(count_line, NULL);
	CU_ASSERT_EQUAL_FATAL(arena_open(&impossible, SLABS, &arena), 0);
	for (unsigned i = 0; i < 100; i++) {
		arena_want(arena, 1, 0);
		while ((err = arena_take(arena, &slab)) == -EAGAIN)
			await_event();
		CU_ASSERT_EQUAL(err, -ENOMEM);
		arena_want(arena, 0, 0);
	}
	arena_close(arena);
	log_set_sink(NULL, NULL);
	CU_ASSERT_TRUE(complaints > 0);
	CU_ASSERT_TRUE(complaints <= 10);
}

static void a_slab_of_huge_pages_is_like_any_other(void)
{
	struct slab_kind kind = {.bytes = SLAB_BYTES, .huge = true, .node = HOST_NO_NODE};
	struct slab *slab;

	CU_ASSERT_EQUAL_FATAL(arena_open(&kind, 1, &arena), 0);
	for (unsigned round = 0; round < 2; round++) {
		slab = take();
		CU_ASSERT_TRUE(is_all_zero(slab));
		memset(slab->base, 0xa5, slab->bytes);
		CU_ASSERT_EQUAL(ftruncate(slab->memfd, 0), -1);
		arena_give(arena, slab);
		await_free(1);
	}
	arena_close(arena);
}

static void a_slab_can_be_bound_to_a_node(void)
{
	struct slab_kind kind = {.bytes = SLAB_BYTES, .node = 0};
	struct slab *slab;

	CU_ASSERT_EQUAL_FATAL(arena_open(&kind, 1, &arena), 0);
	slab = take();
	CU_ASSERT_EQUAL(count_mapped("/proc/self/numa_maps", " bind:0 "), 1);
	CU_ASSERT_TRUE(is_all_zero(slab));
	arena_give(arena, slab);
	arena_close(arena);
}

int main(void)
{
	const char *no_huge = host_huge_free() ? NULL : "no huge pages reserved here";
	const char *no_node = host_node_exists(0) ? NULL : "no NUMA node 0 here";
	const struct suite_test tests[] = {
		SUITE_TEST(a_slab_never_carries_bytes_of_an_earlier_owner),
		SUITE_TEST(a_client_that_keeps_its_mapping_keeps_no_bytes),
		SUITE_TEST(a_client_can_change_neither_size_nor_seals),
		SUITE_TEST(memory_of_a_lent_slab_is_there_in_full),
		SUITE_TEST(no_more_is_lent_than_there_is),
		SUITE_TEST(a_spare_slab_is_granted_without_waiting),
		SUITE_TEST(an_idle_arena_has_no_memory),
		SUITE_TEST(a_host_without_memory_gets_an_answer_and_another_try),
		SUITE_TEST(a_slab_that_cannot_be_made_fills_no_log),
		{"a_slab_of_huge_pages_is_like_any_other", a_slab_of_huge_pages_is_like_any_other,
		 no_huge},
		{"a_slab_can_be_bound_to_a_node", a_slab_can_be_bound_to_a_node, no_node},
		SUITE_END,
	};

	return suite_run("arena", tests);
}
