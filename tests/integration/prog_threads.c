/*
 * Many threads fault on memory that is out, on the same page and on different ones, begin and end
 * while their stacks are taken out, and are cancelled in the middle: see ways.h.
 */
#include "tests/integration/threads.h"
#include "tests/integration/ways.h"

#include <stdatomic.h>

#define THREADS 64u
#define LIVES 1000u
#define AT_ONCE 8u
#define FRAME_WORDS 1024u
#define FRAMES 24u /* 192 KiB of stack */
#define CANCELS 40u

/* Reads the other memory from any thread, which pushes out what is older. */
static void read_others(uint64_t *random, size_t pages)
{
	size_t page = ways_filler_pages ? next_random(random) % ways_filler_pages : 0;

	for (size_t i = 0; i < pages && ways_filler_pages;
	     i++, page = (page + 1) % ways_filler_pages)
		if (ways_filler[page * PAGE_WORDS + 3] != page_word(page, 3, 0))
			give_up("a thread finds page %zu of the other memory wrong", page);
}

/* ---- the same pages, and different ones ---- */

static struct piece shared;
static pthread_barrier_t barrier;

static void *touch_together(void *arg UNUSED)
{
	for (size_t page = 0; page < PIECE_PAGES; page++) {
		if (page % 4 == 0)
			pthread_barrier_wait(&barrier);
		part_check(&shared, page, 1, "touched by all");
	}
	return NULL;
}

/* Each has its own pages, which lie among everybody's, and writes them, too. */
static void *touch_apart(void *arg)
{
	uintptr_t number = (uintptr_t)arg;

	pthread_barrier_wait(&barrier);
	for (size_t page = number; page < PIECE_PAGES; page += THREADS) {
		part_check(&shared, page, 1, "touched by one");
		words_write(page_at(&shared, page), page, 1, shared.version + 1);
	}
	return NULL;
}

static void with_threads(void *(*run)(void *), uint64_t then)
{
	pthread_t threads[THREADS];

	shared = piece_out(PIECE_PAGES);
	must_be_zero(pthread_barrier_init(&barrier, NULL, THREADS), "pthread_barrier_init");
	for (uintptr_t i = 0; i < THREADS; i++)
		threads[i] = thread_new(run, (void *)i);
	for (size_t i = 0; i < THREADS; i++)
		thread_end(threads[i]);
	pthread_barrier_destroy(&barrier);
	shared.version += then;
	piece_check_again(&shared, "after many threads");
	piece_free(&shared);
}

static void touch_same(void)
{
	with_threads(touch_together, 0);
}

static void touch_different(void)
{
	with_threads(touch_apart, 1);
}

/* ---- stacks and what belongs to a thread ---- */

static _Thread_local uint64_t own[8 * PAGE_BYTES / sizeof(uint64_t)];
static _Atomic uint64_t frames_right;

static void own_write(uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		own[i] = seed ^ i;
}

static void own_check(uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (own[i] != (seed ^ i))
			give_up("a thread's own word %zu is %#llx, not %#llx", i,
				(unsigned long long)own[i], (unsigned long long)(seed ^ i));
}

/* What is in a frame must be in it when the way back comes to it. */
static __attribute__((noinline)) void go_deep(uint64_t seed, unsigned depth) /* NOLINT: recursion */
{
	volatile uint64_t frame[FRAME_WORDS];

	for (unsigned i = 0; i < FRAME_WORDS; i++)
		frame[i] = seed + depth * FRAME_WORDS + i;
	if (depth)
		go_deep(seed, depth - 1);
	else
		read_others(&(uint64_t){seed}, 128);
	for (unsigned i = 0; i < FRAME_WORDS; i++)
		if (frame[i] != seed + depth * FRAME_WORDS + i)
			give_up("word %u of frame %u is %#llx", i, depth,
				(unsigned long long)frame[i]);
	atomic_fetch_add(&frames_right, 1);
}

static void *live(void *arg)
{
	uint64_t seed = (uintptr_t)arg * 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (own[i])
			give_up("a new thread's own word %zu is not zero", i);
	own_write(seed);
	go_deep(seed, FRAMES - 1);
	own_check(seed);
	go_deep(~seed, FRAMES - 1);
	return arg;
}

static void live_and_end(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	pthread_t threads[AT_ONCE];

	atomic_store(&frames_right, 0);
	for (uintptr_t i = 0; i < LIVES / 2 + AT_ONCE; i++) {
		void *want = (void *)(i - AT_ONCE + 1);

		if (i >= AT_ONCE && thread_end(threads[i % AT_ONCE]) != want)
			give_up("thread %p returned something else", want);
		if (i < LIVES / 2)
			threads[i % AT_ONCE] = thread_new(live, (void *)(i + 1));
	}
	must(atomic_load(&frames_right) == (uint64_t)LIVES * FRAMES, "frames are missing");
	piece_check_again(&piece, "after many threads");
	piece_free(&piece);
}

/* ---- cancelled ---- */

static _Atomic unsigned cleaned;

static void clean_up(void *arg)
{
	if (*(uint64_t *)arg != 12345)
		give_up("a cancelled thread's variable is %#llx", *(unsigned long long *)arg);
	atomic_fetch_add(&cleaned, 1);
}

/* Nothing but memory is touched while it may be cancelled at any instruction. */
static void sum_for_ever(bool is_asynchronous)
{
	const volatile uint64_t *at = shared.at;
	volatile uint64_t sum = 0;

	for (size_t page = 0;; page = (page + 7) % PIECE_PAGES) {
		sum = sum + at[page * PAGE_WORDS];
		if (!is_asynchronous)
			pthread_testcancel();
	}
}

static void *wait_to_be_cancelled(void *arg)
{
	uint64_t mine = 12345;

	pthread_cleanup_push(clean_up, &mine);
	pthread_barrier_wait(&barrier);
	if (arg)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL); /* NOLINT: the point */
	sum_for_ever(arg != NULL);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancel(bool is_asynchronous)
{
	uint64_t random = ways_round + 1;

	shared = piece_out(PIECE_PAGES);
	must_be_zero(pthread_barrier_init(&barrier, NULL, 2), "pthread_barrier_init");
	atomic_store(&cleaned, 0);
	for (unsigned i = 0; i < CANCELS; i++) {
		pthread_t thread =
			thread_new(wait_to_be_cancelled, is_asynchronous ? &shared : NULL);

		push_a_little(256);
		pthread_barrier_wait(&barrier);
		usleep((unsigned)(next_random(&random) % 1000));
		must_be_zero(pthread_cancel(thread), "pthread_cancel");
		must(thread_end(thread) == PTHREAD_CANCELED, "not cancelled");
	}
	must(atomic_load(&cleaned) == CANCELS, "not cleaned up after");
	pthread_barrier_destroy(&barrier);
	piece_check_again(&shared, "after those that were cancelled");
	piece_free(&shared);
}

static void cancel_deferred(void)
{
	cancel(false);
}

static void cancel_asynchronously(void)
{
	cancel(true);
}

static const struct way ways[] = {
	{"same-pages", touch_same},
	{"different-pages", touch_different},
	{"lives", live_and_end},
	{"cancel-deferred", cancel_deferred},
	{"cancel-asynchronous", cancel_asynchronously},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
