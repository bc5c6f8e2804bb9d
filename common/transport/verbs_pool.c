#include "common/transport/verbs_pool.h"

#include "common/base/lock.h"

#include <sys/mman.h>

#define SMALLEST_SHIFT 4
#define LARGEST_SHIFT 15 /* 32 KiB; what is larger gets spans of its own */
#define CLASSES (LARGEST_SHIFT - SMALLEST_SHIFT + 1)

/* What a span is: one of these, or SPAN_PIECES + class. */
enum { SPAN_FREE, SPAN_BOOK, SPAN_LARGE, SPAN_MORE_OF_LARGE, SPAN_PIECES };

struct piece {
	struct piece *next;
};

struct verbs_pool {
	struct lock lock;
	size_t spans;
	struct piece *spare[CLASSES];
	unsigned char kind[]; /* of each span */
};

static size_t spans_of(size_t bytes)
{
	return (bytes + VERBS_POOL_SPAN - 1) / VERBS_POOL_SPAN;
}

static char *span_at(struct verbs_pool *pool, size_t span)
{
	return (char *)pool + span * VERBS_POOL_SPAN;
}

static size_t span_of(const struct verbs_pool *pool, const void *ptr)
{
	return (size_t)((const char *)ptr - (const char *)pool) / VERBS_POOL_SPAN;
}

/* Shared, at a multiple of a span: pieces of a power of two then lie at multiples of their size. */
static void *map_aligned(size_t bytes)
{
	size_t padded = bytes + VERBS_POOL_SPAN, head;
	char *at = mmap(NULL, padded, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	head = -(size_t)at & (VERBS_POOL_SPAN - 1);
	if (head)
		munmap(at, head);
	munmap(at + head + bytes, padded - head - bytes);
	at += head;
	(void)madvise(at, bytes, MADV_DONTFORK);
	(void)madvise(at, bytes, MADV_DONTDUMP);
	return at;
}

struct verbs_pool *verbs_pool_open(size_t bytes)
{
	struct verbs_pool *pool;
	size_t i, spans = spans_of(bytes);

	pool = map_aligned(spans * VERBS_POOL_SPAN);
	if (!pool)
		return NULL;
	pool->spans = spans;
	for (i = 0; i < spans_of(sizeof(*pool) + spans); i++)
		pool->kind[i] = SPAN_BOOK;
	return pool;
}

void verbs_pool_close(struct verbs_pool *pool)
{
	if (pool)
		munmap(pool, pool->spans * VERBS_POOL_SPAN);
}

/* The first of n free spans in a row, or 0 (which is the book's) if there are none. */
static size_t find_free(const struct verbs_pool *pool, size_t n)
{
	size_t i, run = 0;

	for (i = 0; i < pool->spans; i++) {
		run = pool->kind[i] == SPAN_FREE ? run + 1 : 0;
		if (run == n)
			return i + 1 - n;
	}
	return 0;
}

static void *large_take(struct verbs_pool *pool, size_t bytes)
{
	size_t i, n = spans_of(bytes), first = find_free(pool, n);

	if (!first)
		return NULL;
	pool->kind[first] = SPAN_LARGE;
	for (i = 1; i < n; i++)
		pool->kind[first + i] = SPAN_MORE_OF_LARGE;
	return span_at(pool, first);
}

static bool cut_span(struct verbs_pool *pool, unsigned class)
{
	size_t at, bytes = (size_t)1 << (class + SMALLEST_SHIFT), span = find_free(pool, 1);

	if (!span)
		return false;
	pool->kind[span] = (unsigned char)(SPAN_PIECES + class);
	for (at = VERBS_POOL_SPAN; at > 0; at -= bytes) {
		struct piece *piece = (struct piece *)(span_at(pool, span) + at - bytes);

		piece->next = pool->spare[class];
		pool->spare[class] = piece;
	}
	return true;
}

static void *piece_take(struct verbs_pool *pool, size_t bytes)
{
	struct piece *piece;
	unsigned class = 0;

	while ((size_t)1 << (class + SMALLEST_SHIFT) < bytes)
		class ++;
	if (!pool->spare[class] && !cut_span(pool, class))
		return NULL;
	piece = pool->spare[class];
	pool->spare[class] = piece->next;
	return piece;
}

void *verbs_pool_alloc(struct verbs_pool *pool, size_t bytes, size_t align)
{
	void *ptr;

	if (bytes < align)
		bytes = align;
	if (align > VERBS_POOL_SPAN || bytes > pool->spans * VERBS_POOL_SPAN)
		return NULL;
	lock_acquire(&pool->lock);
	if (bytes > (size_t)1 << LARGEST_SHIFT)
		ptr = large_take(pool, bytes);
	else
		ptr = piece_take(pool, bytes);
	lock_release(&pool->lock);
	return ptr;
}

static void large_give(struct verbs_pool *pool, size_t span)
{
	do
		pool->kind[span++] = SPAN_FREE;
	while (span < pool->spans && pool->kind[span] == SPAN_MORE_OF_LARGE);
}

static void piece_give(struct verbs_pool *pool, void *ptr, unsigned class)
{
	struct piece *piece = ptr;

	piece->next = pool->spare[class];
	pool->spare[class] = piece;
}

void verbs_pool_free(struct verbs_pool *pool, void *ptr)
{
	size_t span = span_of(pool, ptr);

	lock_acquire(&pool->lock);
	if (pool->kind[span] == SPAN_LARGE)
		large_give(pool, span);
	else
		piece_give(pool, ptr, pool->kind[span] - SPAN_PIECES);
	lock_release(&pool->lock);
}

bool verbs_pool_owns(const struct verbs_pool *pool, const void *ptr)
{
	return (const char *)ptr >= (const char *)pool && span_of(pool, ptr) < pool->spans;
}

size_t verbs_pool_room(struct verbs_pool *pool, const void *ptr)
{
	size_t n = 1, span = span_of(pool, ptr);

	if (pool->kind[span] >= SPAN_PIECES)
		return (size_t)1 << (pool->kind[span] - SPAN_PIECES + SMALLEST_SHIFT);
	lock_acquire(&pool->lock);
	while (span + n < pool->spans && pool->kind[span + n] == SPAN_MORE_OF_LARGE)
		n++;
	lock_release(&pool->lock);
	return n * VERBS_POOL_SPAN;
}
