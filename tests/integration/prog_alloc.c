/*
 * Allocates and fills memory as fast as it can, from one thread or several, in the ways that
 * programs have, then reads back what it has written. Ends with 0 if all of it was right.
 *
 *   prog_alloc mmap|malloc|calloc|brk MIB THREADS
 *
 * brk has one thread: it moves one end of one heap.
 */
#include "common/base/compiler.h"
#include "tests/integration/give_up.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MMAP_BYTES (8u << 20)
#define MALLOC_BYTES 96u
#define CALLOC_BYTES (1u << 20)
#define BRK_BYTES (128u << 10)

struct piece {
	struct piece *next;
	uint64_t number;
	char rest[];
};

struct way {
	const char *name;
	size_t bytes; /* of a piece */
	void *(*allocate)(size_t bytes);
};

struct worker {
	pthread_t thread;
	const struct way *way;
	uint64_t pieces;
	uint64_t first; /* number of its first piece */
	const char *wrong;
};

static void *by_mmap(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void *by_malloc(size_t bytes)
{
	return malloc(bytes);
}

static void *by_calloc(size_t bytes)
{
	return calloc(1, bytes);
}

static void *by_brk(size_t bytes)
{
	void *at = sbrk((intptr_t)bytes);

	return at == (void *)-1 ? NULL : at;
}

static const struct way ways[] = {
	{"mmap", MMAP_BYTES, by_mmap},
	{"malloc", MALLOC_BYTES, by_malloc},
	{"calloc", CALLOC_BYTES, by_calloc},
	{"brk", BRK_BYTES, by_brk},
};

/* Every page ends with the number, so none is one repeated word, which would go nowhere. */
static void fill(struct piece *piece, size_t bytes)
{
	char *end = (char *)piece + bytes;
	char *at;

	memset(piece->rest, (int)piece->number, bytes - sizeof(*piece));
	for (at = (char *)piece + PAGE_BYTES; at < end; at += PAGE_BYTES)
		memcpy(at - sizeof(piece->number), &piece->number, sizeof(piece->number));
}

static bool is_right(const struct piece *piece, size_t bytes)
{
	const char *end = (const char *)piece + bytes;
	const char *at;

	if (piece->rest[0] != (char)piece->number)
		return false;
	for (at = (const char *)piece + PAGE_BYTES; at < end; at += PAGE_BYTES)
		if (memcmp(at - sizeof(piece->number), &piece->number, sizeof(piece->number)) ||
		    at[0] != (char)piece->number)
			return false;
	return true;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	size_t bytes = worker->way->bytes;
	struct piece *list = NULL, *piece;
	uint64_t number, last = worker->first + worker->pieces;

	for (number = worker->first; number < last; number++) {
		piece = worker->way->allocate(bytes);
		if (!piece) {
			worker->wrong = "no memory";
			return NULL;
		}
		piece->next = list;
		piece->number = number;
		fill(piece, bytes);
		list = piece;
	}
	for (piece = list; piece; piece = piece->next)
		if (piece->number != --number || !is_right(piece, bytes)) {
			worker->wrong = "memory is not what was written";
			return NULL;
		}
	if (number != worker->first)
		worker->wrong = "pieces are missing";
	return NULL;
}

static const struct way *way_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(ways); i++)
		if (!strcmp(ways[i].name, name))
			return &ways[i];
	give_up("%s is no way to allocate", name);
}

int main(int argc, char **argv)
{
	const struct way *way;
	struct worker *workers;
	uint64_t pieces;
	unsigned count, i;

	if (argc != 4)
		give_up("usage: prog_alloc mmap|malloc|calloc|brk MIB THREADS");
	way = way_find(argv[1]);
	count = (unsigned)strtoul(argv[3], NULL, 10);
	workers = calloc(count, sizeof(*workers));
	if (!count || !workers)
		give_up("no threads");
	pieces = (strtoull(argv[2], NULL, 10) << 20) / way->bytes / count;
	for (i = 0; i < count; i++) {
		workers[i].way = way;
		workers[i].pieces = pieces;
		workers[i].first = i * pieces;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			give_up("no thread");
	}
	for (i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].wrong)
			give_up("thread %u: %s", i, workers[i].wrong);
	}
	printf("%llu pieces by %s, all right\n", (unsigned long long)(pieces * count), way->name);
	return 0;
}
