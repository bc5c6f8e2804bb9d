#include "common/transport/remotes.h"
#include "tests/suite.h"

#include <errno.h>
#include <stdlib.h>

static unsigned budget; /* allocations that still succeed */

static void *scarce_alloc(void *arg UNUSED, size_t bytes)
{
	if (budget == 0)
		return NULL;
	budget--;
	return calloc(1, bytes);
}

static void scarce_free(void *arg UNUSED, void *ptr, size_t bytes UNUSED)
{
	free(ptr);
}

static const struct tp_options options = {.alloc = scarce_alloc, .free = scarce_free};
static struct remotes remotes;

static void begin(unsigned allocations)
{
	budget = allocations;
	memset(&remotes, 0, sizeof(remotes));
	remotes_init(&remotes);
}

static int add(uint64_t key, uint64_t bytes, uint32_t *handle)
{
	const struct remote remote = {.key = key, .bytes = bytes};

	return remotes_add(&remotes, &options, &remote, handle);
}

static void what_is_added_is_found_until_removed(void)
{
	uint32_t one, two, again;

	begin(1);
	CU_ASSERT_PTR_NULL(remotes_find(&remotes, 0));
	CU_ASSERT_EQUAL(add(11, 100, &one), 0);
	CU_ASSERT_EQUAL(add(22, 200, &two), 0);
	CU_ASSERT_NOT_EQUAL(one, two);
	CU_ASSERT_EQUAL(remotes_find(&remotes, one)->key, 11);
	CU_ASSERT_EQUAL(remotes_find(&remotes, two)->bytes, 200);
	remotes_remove(&remotes, one);
	remotes_remove(&remotes, one);
	CU_ASSERT_PTR_NULL(remotes_find(&remotes, one));
	CU_ASSERT_EQUAL(remotes_find(&remotes, two)->key, 22);
	CU_ASSERT_EQUAL(add(33, 300, &again), 0);
	CU_ASSERT_EQUAL(again, one);
	CU_ASSERT_EQUAL(remotes_find(&remotes, one)->key, 33);
	/* Removed twice, but free once. */
	CU_ASSERT_EQUAL(add(44, 400, &again), 0);
	CU_ASSERT_NOT_EQUAL(again, one);
	remotes_destroy(&remotes, &options);
}

static void any_handle_may_be_asked_for(void)
{
	begin(1);
	CU_ASSERT_PTR_NULL(remotes_find(&remotes, 1));
	CU_ASSERT_PTR_NULL(remotes_find(&remotes, TP_MAX_REMOTES - 1));
	CU_ASSERT_PTR_NULL(remotes_find(&remotes, TP_MAX_REMOTES));
	CU_ASSERT_PTR_NULL(remotes_find(&remotes, UINT32_MAX));
	remotes_remove(&remotes, UINT32_MAX);
	remotes_destroy(&remotes, &options);
}

static void memory_that_is_short_loses_nothing(void)
{
	uint32_t i, handle;

	begin(1);
	for (i = 0; i < REMOTES_PER_CHUNK; i++)
		CU_ASSERT_EQUAL(add(i, 1, &handle), 0);
	CU_ASSERT_EQUAL(add(1000, 1, &handle), -ENOMEM);
	remotes_remove(&remotes, 17);
	CU_ASSERT_EQUAL(add(1000, 1, &handle), 0);
	CU_ASSERT_EQUAL(handle, 17);
	budget = 1;
	CU_ASSERT_EQUAL(add(1001, 1, &handle), 0);
	CU_ASSERT_EQUAL(handle, REMOTES_PER_CHUNK);
	CU_ASSERT_EQUAL(remotes_find(&remotes, 0)->key, 0);
	remotes_destroy(&remotes, &options);
}

static void there_is_room_for_as_many_as_promised(void)
{
	uint32_t i, handle = 0, errors = 0;

	begin(REMOTES_CHUNKS);
	for (i = 0; i < TP_MAX_REMOTES; i++)
		errors += add(i, 1, &handle) != 0 || handle != i;
	CU_ASSERT_EQUAL(errors, 0);
	CU_ASSERT_EQUAL(add(1, 1, &handle), -ENOSPC);
	remotes_remove(&remotes, 40000);
	CU_ASSERT_EQUAL(add(7, 1, &handle), 0);
	CU_ASSERT_EQUAL(handle, 40000);
	remotes_destroy(&remotes, &options);
}

static int check(uint64_t offset, uint32_t bytes)
{
	const struct remote *remote;
	const struct tp_request request = {.op = TP_READ, .offset = offset, .bytes = bytes};

	return remotes_check(&remotes, &request, &remote);
}

static void a_request_stays_within_what_is_attached(void)
{
	uint32_t handle;

	begin(1);
	CU_ASSERT_EQUAL(check(0, 1), -EACCES);
	CU_ASSERT_EQUAL(add(1, 10000, &handle), 0);
	CU_ASSERT_EQUAL(check(0, 10000), 0);
	CU_ASSERT_EQUAL(check(9999, 1), 0);
	CU_ASSERT_EQUAL(check(10000, 1), -EACCES);
	CU_ASSERT_EQUAL(check(1, 10000), -EACCES);
	CU_ASSERT_EQUAL(check(0, 10001), -EACCES);
	CU_ASSERT_EQUAL(check(UINT64_MAX, 2), -EACCES);
	CU_ASSERT_EQUAL(check(UINT64_MAX - 9999, 10000), -EACCES);
	CU_ASSERT_EQUAL(check(0, 0), -EINVAL);
	CU_ASSERT_EQUAL(check(0, TP_MAX_BYTES + 1), -EINVAL);
	remotes_destroy(&remotes, &options);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(what_is_added_is_found_until_removed),
		SUITE_TEST(any_handle_may_be_asked_for),
		SUITE_TEST(memory_that_is_short_loses_nothing),
		SUITE_TEST(there_is_room_for_as_many_as_promised),
		SUITE_TEST(a_request_stays_within_what_is_attached),
		SUITE_END,
	};

	return suite_run("remotes", tests);
}
