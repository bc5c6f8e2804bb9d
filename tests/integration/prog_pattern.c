/*
 * Fills memory with a seeded pattern from several threads, then checks and rewrites it at random
 * until the time is over, while the mappings under it are protected, dropped, moved, grown,
 * unmapped and handed to the kernel; at the end it checks everything once more. Ends with 0 and one
 * line if never a byte was wrong.
 *
 *   prog_pattern MIB THREADS SECONDS [SEED]     SIGTERM: the time is over
 *
 * Memory is in blocks of 256 KiB, each a mapping (or a part of one) of its own and owned by one
 * thread, which remembers the version of each page: a page's content follows from block, page and
 * version. Version 0 is zeros.
 */
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "tests/integration/give_up.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK_PAGES 64u
#define BLOCK_BYTES (BLOCK_PAGES * PAGE_BYTES)
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define CLOCK_EVERY 64 /* steps between looks at the clock */

struct block {
	uint64_t *at;
	uint32_t number;
	bool is_split;			/* by the program itself: then mremap may refuse */
	uint32_t versions[BLOCK_PAGES]; /* of each page */
};

struct worker {
	pthread_t thread;
	struct block *blocks;
	unsigned block_count;
	uint64_t random;  /* state */
	uint64_t end_ns;  /* when to stop */
	uint64_t checks;  /* pages found right */
	uint64_t changes; /* of the map */
	int pipe_fds[2];
};

static void must(int result, const char *what)
{
	if (result < 0)
		give_up("%s: %s", what, strerror(errno));
}

/* ---- what a page holds ---- */

/* Some pages are one word repeated, some nearly: what an engine treats specially must be met. */
static uint64_t word_of(uint64_t seed, unsigned i)
{
	switch (seed >> 60) {
	case 0:
		return seed; /* one word */
	case 1:
		return i == PAGE_WORDS - 1 ? seed + 1 : seed; /* but for the last */
	default:
		return (seed + i) * 0x9e3779b97f4a7c15u;
	}
}

static uint64_t seed_of(const struct block *block, unsigned page)
{
	uint64_t state = ((uint64_t)block->number << 32 | page << 24) + block->versions[page];

	state = (state + 1) * 0xbf58476d1ce4e5b9u;
	state ^= state >> 29;
	return state * 0x94d049bb133111ebu | 1;
}

static uint64_t *page_at(const struct block *block, unsigned page)
{
	return block->at + page * PAGE_WORDS;
}

static void page_write(struct block *block, unsigned page)
{
	uint64_t *words = page_at(block, page);
	uint64_t seed;
	unsigned i;

	block->versions[page]++;
	seed = seed_of(block, page);
	for (i = 0; i < PAGE_WORDS; i++)
		words[i] = word_of(seed, i);
}

static void compare(const struct block *block, unsigned page, const uint64_t *words,
		    const char *after)
{
	uint64_t seed = seed_of(block, page);
	uint64_t expected;
	unsigned i;

	for (i = 0; i < PAGE_WORDS; i++) {
		expected = block->versions[page] ? word_of(seed, i) : 0;
		if (UNLIKELY(words[i] != expected))
			give_up("%s: block %u page %u word %u at %p is %#llx, not %#llx "
				"(version %u)",
				after, block->number, page, i,
				(const void *)(page_at(block, page) + i),
				(unsigned long long)words[i], (unsigned long long)expected,
				block->versions[page]);
	}
}

static void page_check(struct worker *worker, const struct block *block, unsigned page,
		       const char *after)
{
	compare(block, page, page_at(block, page), after);
	worker->checks++;
}

static void block_check(struct worker *worker, const struct block *block, const char *after)
{
	unsigned page;

	for (page = 0; page < BLOCK_PAGES; page++)
		page_check(worker, block, page, after);
}

static void block_write(struct block *block)
{
	unsigned page;

	for (page = 0; page < BLOCK_PAGES; page++)
		page_write(block, page);
}

/* ---- what is done to it ---- */

static unsigned random_page(struct worker *worker)
{
	return (unsigned)(xorshift_next(&worker->random) % BLOCK_PAGES);
}

/* Pages [first, first + returned) of a block, at least one. */
static unsigned random_run(struct worker *worker, unsigned *first)
{
	*first = random_page(worker);
	return 1 + (unsigned)(xorshift_next(&worker->random) % (BLOCK_PAGES - *first));
}

static void check_page(struct worker *worker, struct block *block)
{
	page_check(worker, block, random_page(worker), "read");
}

static void rewrite_page(struct worker *worker, struct block *block)
{
	unsigned page = random_page(worker);

	page_check(worker, block, page, "read before a write");
	page_write(block, page);
}

/* Written without having been read: the old content must not come back over the new. */
static void overwrite_page(struct worker *worker, struct block *block)
{
	unsigned page = random_page(worker);

	page_write(block, page);
	page_check(worker, block, page, "overwritten");
}

static void check_block(struct worker *worker, struct block *block)
{
	block_check(worker, block, "read in sequence");
}

/* The kernel reads a page that may be out, and writes one. */
static void pass_through_kernel(struct worker *worker, struct block *block)
{
	unsigned from = random_page(worker), to = random_page(worker);
	uint64_t copy[PAGE_WORDS];

	must(write(worker->pipe_fds[1], page_at(block, from), PAGE_BYTES) == PAGE_BYTES ? 0 : -1,
	     "write");
	must(read(worker->pipe_fds[0], copy, PAGE_BYTES) == PAGE_BYTES ? 0 : -1, "read");
	compare(block, from, copy, "written by the kernel to a pipe");
	page_write(block, from);
	must(write(worker->pipe_fds[1], page_at(block, from), PAGE_BYTES) == PAGE_BYTES ? 0 : -1,
	     "write");
	memcpy(copy, page_at(block, to), PAGE_BYTES);
	must(read(worker->pipe_fds[0], page_at(block, to), PAGE_BYTES) == PAGE_BYTES ? 0 : -1,
	     "read");
	if (memcmp(page_at(block, to), page_at(block, from), PAGE_BYTES))
		give_up("read by the kernel from a pipe: block %u page %u is wrong", block->number,
			to);
	memcpy(page_at(block, to), copy, PAGE_BYTES);
	if (to == from)
		return;
	page_check(worker, block, to, "put back");
}

static void protect(struct worker *worker, struct block *block)
{
	unsigned first;
	unsigned n = random_run(worker, &first);

	must(mprotect(page_at(block, first), n * PAGE_BYTES, PROT_READ), "mprotect");
	page_check(worker, block, first, "read-only");
	must(mprotect(page_at(block, first), n * PAGE_BYTES, PROT_NONE), "mprotect");
	must(mprotect(page_at(block, first), n * PAGE_BYTES, PROT_READ | PROT_WRITE), "mprotect");
	page_check(worker, block, first, "protected and back");
	page_write(block, first + n - 1);
}

static void forget_versions(struct block *block, unsigned first, unsigned n)
{
	memset(block->versions + first, 0, n * sizeof(block->versions[0]));
}

/* Dropped pages are zeros, even if a donor has them. */
static void drop(struct worker *worker, struct block *block)
{
	unsigned first;
	unsigned n = random_run(worker, &first);

	must(madvise(page_at(block, first), n * PAGE_BYTES, MADV_DONTNEED), "madvise");
	forget_versions(block, first, n);
	page_check(worker, block, first, "dropped");
	page_write(block, first + n - 1);
}

/* After MADV_FREE a page is what it was or zeros, until it is written: write it. */
static void free_and_write(struct worker *worker, struct block *block)
{
	unsigned first, i;
	unsigned n = random_run(worker, &first);

	must(madvise(page_at(block, first), n * PAGE_BYTES, MADV_FREE), "madvise");
	for (i = first; i < first + n; i++)
		page_write(block, i);
	page_check(worker, block, first, "freed and written");
}

static void *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		give_up("mmap: %s", strerror(errno));
	return at;
}

/* To where another mapping was, which goes. */
static void move(struct worker *worker, struct block *block)
{
	void *to;

	if (block->is_split)
		return;
	to = map(BLOCK_BYTES);
	if (mremap(block->at, BLOCK_BYTES, BLOCK_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		give_up("mremap: %s", strerror(errno));
	block->at = to;
	page_check(worker, block, random_page(worker), "moved");
}

/* Grown, which mostly moves it, and shrunk again. What is new is zeros. */
static void grow(struct worker *worker, struct block *block)
{
	uint64_t *at;
	unsigned i;

	if (block->is_split)
		return;
	at = mremap(block->at, BLOCK_BYTES, 2 * BLOCK_BYTES, MREMAP_MAYMOVE);
	if (at == MAP_FAILED)
		give_up("mremap: %s", strerror(errno));
	block->at = at;
	for (i = 0; i < BLOCK_PAGES; i++)
		if (page_at(block, BLOCK_PAGES + i)[i])
			give_up("grown: block %u page %u is not zero", block->number, i);
	if (mremap(at, 2 * BLOCK_BYTES, BLOCK_BYTES, 0) != at)
		give_up("mremap: %s", strerror(errno));
	page_check(worker, block, random_page(worker), "grown and shrunk");
}

static void map_over(struct worker *worker, struct block *block)
{
	unsigned first;
	unsigned n = random_run(worker, &first);
	void *at = page_at(block, first);

	if (mmap(at, n * PAGE_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
		give_up("mmap over: %s", strerror(errno));
	block->is_split = true;
	forget_versions(block, first, n);
	page_check(worker, block, first, "mapped over");
	page_write(block, first);
}

static void unmap(struct worker *worker, struct block *block)
{
	must(munmap(block->at, BLOCK_BYTES), "munmap");
	block->at = map(BLOCK_BYTES);
	block->is_split = false;
	forget_versions(block, 0, BLOCK_PAGES);
	page_check(worker, block, random_page(worker), "mapped anew");
	block_write(block);
}

/* ---- the mix ---- */

/* Shares are a guess; mostly plain reads and writes, so that memory goes out and comes back. */
static const struct {
	void (*run)(struct worker *worker, struct block *block);
	unsigned share;	  /* of SHARES */
	unsigned changes; /* the map */
} operations[] = {
	{check_page, 400, 0},
	{rewrite_page, 250, 0},
	{overwrite_page, 120, 0},
	{check_block, 40, 0},
	{pass_through_kernel, 80, 0},
	{protect, 30, 1},
	{drop, 20, 1},
	{free_and_write, 20, 1},
	{move, 12, 1},
	{grow, 12, 1},
	{map_over, 10, 1},
	{unmap, 6, 1},
};
#define SHARES 1000

static void step(struct worker *worker)
{
	unsigned share = (unsigned)(xorshift_next(&worker->random) % SHARES);
	struct block *block = &worker->blocks[xorshift_next(&worker->random) % worker->block_count];
	size_t i;

	for (i = 0; share >= operations[i].share; i++)
		share -= operations[i].share;
	operations[i].run(worker, block);
	worker->changes += operations[i].changes;
}

static volatile sig_atomic_t is_told_to_end;

static bool is_time_left(const struct worker *worker)
{
	return !is_told_to_end && clock_ns() < worker->end_ns;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	uint64_t steps;
	unsigned i;

	for (i = 0; i < worker->block_count; i++)
		block_write(&worker->blocks[i]);
	for (steps = 0; steps % CLOCK_EVERY || is_time_left(worker); steps++)
		step(worker);
	for (i = 0; i < worker->block_count; i++)
		block_check(worker, &worker->blocks[i], "at the end");
	return NULL;
}

static void worker_start(struct worker *worker, struct block *blocks, unsigned block_count,
			 uint64_t seed, uint64_t end_ns)
{
	*worker = (struct worker){
		.blocks = blocks,
		.block_count = block_count,
		.random = seed,
		.end_ns = end_ns,
	};
	must(pipe2(worker->pipe_fds, O_CLOEXEC), "pipe");
	if (pthread_create(&worker->thread, NULL, work, worker))
		give_up("no thread");
}

/* One mapping to begin with; neighbours belong to different threads, as they may in real programs.
 */
static struct block *blocks_make(unsigned workers, unsigned each)
{
	struct block *blocks = calloc((size_t)workers * each, sizeof(*blocks));
	char *memory = map((size_t)workers * each * BLOCK_BYTES);
	unsigned w, i;

	if (!blocks)
		give_up("no memory");
	for (w = 0; w < workers; w++) {
		for (i = 0; i < each; i++) {
			blocks[w * each + i].number = w * each + i;
			blocks[w * each + i].at =
				(void *)(memory + ((size_t)i * workers + w) * BLOCK_BYTES);
		}
	}
	return blocks;
}

static void on_term(int number UNUSED)
{
	is_told_to_end = 1;
}

int main(int argc, char **argv)
{
	const struct sigaction term = {.sa_handler = on_term, .sa_flags = SA_RESTART};
	uint64_t checks = 0, changes = 0;
	struct worker *workers;
	struct block *blocks;
	uint64_t end_ns, seed;
	unsigned count, each, i;

	if (argc < 4)
		give_up("usage: prog_pattern MIB THREADS SECONDS [SEED]");
	count = (unsigned)strtoul(argv[2], NULL, 10);
	if (!count)
		give_up("at least one thread is needed");
	each = (unsigned)((strtoull(argv[1], NULL, 10) << 20) / BLOCK_BYTES / count);
	end_ns = clock_ns() + strtoull(argv[3], NULL, 10) * 1000000000u;
	seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
	workers = calloc(count, sizeof(*workers));
	if (!workers || !each || sigaction(SIGTERM, &term, NULL))
		give_up("no memory");
	blocks = blocks_make(count, each);
	for (i = 0; i < count; i++)
		worker_start(&workers[i], blocks + i * each, each, (seed + i) * 0x9e3779b97f4a7c15u,
			     end_ns);
	for (i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		checks += workers[i].checks;
		changes += workers[i].changes;
	}
	printf("%llu checks, %llu changes of the map, all right\n", (unsigned long long)checks,
	       (unsigned long long)changes);
	return 0;
}
