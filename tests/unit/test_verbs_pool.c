#include "common/transport/verbs_pool.h"
#include "tests/suite.h"

#include <stdint.h>
#include <string.h>

#define POOL_BYTES (64 * VERBS_POOL_SPAN)
#define PIECES 400u

static struct verbs_pool *open_pool(void)
{
	struct verbs_pool *pool = verbs_pool_open(POOL_BYTES);

	CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
	return pool;
}

static size_t size_of(unsigned i)
{
	return 1 + (i * 7919u) % 40000;
}

static void pieces_do_not_overlap(void)
{
	struct verbs_pool *pool = open_pool();
	static unsigned char *pieces[PIECES];
	unsigned i, n = 0, wrong = 0;

	while (n < PIECES && (pieces[n] = verbs_pool_alloc(pool, size_of(n), 16))) {
		memset(pieces[n], (int)n & 0xff, size_of(n));
		n++;
	}
	CU_ASSERT(n > 60);
	for (i = 0; i < n; i++) {
		wrong += pieces[i][0] != (i & 0xff) || pieces[i][size_of(i) - 1] != (i & 0xff);
		wrong += !verbs_pool_owns(pool, pieces[i]);
		wrong += verbs_pool_room(pool, pieces[i]) < size_of(i);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	verbs_pool_close(pool);
}

static void alignment_is_kept(void)
{
	static const size_t sizes[] = {1, 24, 4095, 4097, 40000, 3 * VERBS_POOL_SPAN};
	struct verbs_pool *pool = open_pool();
	size_t align;
	unsigned i;

	for (align = 1; align <= VERBS_POOL_SPAN; align *= 2) {
		for (i = 0; i < ARRAY_LEN(sizes); i++) {
			void *ptr = verbs_pool_alloc(pool, sizes[i], align);

			CU_ASSERT_PTR_NOT_NULL_FATAL(ptr);
			CU_ASSERT_EQUAL((uintptr_t)ptr % align, 0);
			verbs_pool_free(pool, ptr);
		}
	}
	CU_ASSERT_PTR_NULL(verbs_pool_alloc(pool, 1, 2 * VERBS_POOL_SPAN));
	verbs_pool_close(pool);
}

/* However often: what is given back is used again. */
static void nothing_leaks(void)
{
	struct verbs_pool *pool = open_pool();
	void *some[4];
	unsigned i, k;

	for (i = 0; i < 20000; i++) {
		for (k = 0; k < ARRAY_LEN(some); k++) {
			some[k] = verbs_pool_alloc(pool, size_of(i + k) * (k + 1), 16);
			CU_ASSERT_PTR_NOT_NULL_FATAL(some[k]);
		}
		for (k = 0; k < ARRAY_LEN(some); k++)
			verbs_pool_free(pool, some[k]);
	}
	verbs_pool_close(pool);
}

static void a_full_pool_says_so(void)
{
	struct verbs_pool *pool = open_pool();
	void *first = verbs_pool_alloc(pool, 10 * VERBS_POOL_SPAN, 16);
	unsigned n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	CU_ASSERT_EQUAL(verbs_pool_room(pool, first), 10 * VERBS_POOL_SPAN);
	CU_ASSERT_PTR_NULL(verbs_pool_alloc(pool, POOL_BYTES, 16));
	CU_ASSERT_PTR_NULL(verbs_pool_alloc(pool, SIZE_MAX, 16));
	while (verbs_pool_alloc(pool, VERBS_POOL_SPAN, 16))
		n++;
	CU_ASSERT_EQUAL(n, 64 - 10 - 1);
	CU_ASSERT_PTR_NULL(verbs_pool_alloc(pool, 1, 1));
	verbs_pool_free(pool, first);
	CU_ASSERT_PTR_EQUAL(verbs_pool_alloc(pool, 10 * VERBS_POOL_SPAN, 16), first);
	verbs_pool_close(pool);
}

static void what_is_not_its_own_is_known(void)
{
	struct verbs_pool *pool = open_pool();
	int local;

	CU_ASSERT(!verbs_pool_owns(pool, &local));
	CU_ASSERT(!verbs_pool_owns(pool, NULL));
	CU_ASSERT(!verbs_pool_owns(pool, (char *)pool + POOL_BYTES));
	CU_ASSERT(!verbs_pool_owns(pool, (char *)pool - 1));
	verbs_pool_close(pool);
	verbs_pool_close(NULL);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(pieces_do_not_overlap),
		SUITE_TEST(alignment_is_kept),
		SUITE_TEST(nothing_leaks),
		SUITE_TEST(a_full_pool_says_so),
		SUITE_TEST(what_is_not_its_own_is_known),
		SUITE_END,
	};

	return suite_run("verbs pool", tests);
}
