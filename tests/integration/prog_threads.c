/*
 * Many threads fault on memory that is out, on the same page and on different ones, begin and end
 * while their stacks are taken out, are cancelled in the middle, and meet others that unmap or
 * protect what they read: see ways.h.
 */
#include "tests/integration/ways.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#define THREADS 64u
#define LIVES 1000u
#define AT_ONCE 8u
#define STACK_BYTES (512u << 10)
#define FRAME_WORDS 1024u
#define FRAMES 24u /* 192 KiB of stack */
#define CANCELS 40u
#define TURNS 5u

static void must_be_zero(int err, const char *what)
{
	errno = err;
	must(err == 0, what);
}

static pthread_t thread_new(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	must_be_zero(pthread_attr_init(&attr), "pthread_attr_init");
	must_be_zero(pthread_attr_setstacksize(&attr, STACK_BYTES), "pthread_attr_setstacksize");
	must_be_zero(pthread_create(&thread, &attr, run, arg), "pthread_create");
	pthread_attr_destroy(&attr);
	return thread;
}

static void *thread_end(pthread_t thread)
{
	void *result;

	must_be_zero(pthread_join(thread, &result), "pthread_join");
	return result;
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

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

/* ---- reading what another takes away ---- */

static _Thread_local sigjmp_buf back;
static _Thread_local ucontext_t back_context;
static _Thread_local volatile sig_atomic_t is_back;
static _Thread_local bool by_context;
static _Thread_local siginfo_t caught;
static _Thread_local volatile uintptr_t handler_stack;
static atomic_bool is_gone;
static _Atomic size_t read_pages, caught_signals;

static void on_fault(int number UNUSED, siginfo_t *info, void *context UNUSED)
{
	caught = *info;
	handler_stack = (uintptr_t)__builtin_frame_address(0);
	if (!by_context)
		siglongjmp(back, 1);
	is_back = 1;
	setcontext(&back_context);
}

/* Whether the word could be read. */
static bool try_by_jump(const volatile uint64_t *at, uint64_t *out)
{
	by_context = false;
	if (sigsetjmp(back, 1))
		return false;
	*out = *at;
	return true;
}

static bool try_by_context(const volatile uint64_t *at, uint64_t *out)
{
	by_context = true;
	is_back = 0;
	must(getcontext(&back_context) == 0, "getcontext");
	if (is_back)
		return false;
	*out = *at;
	return true;
}

static void read_or_fault(size_t page, int code)
{
	unsigned word = (unsigned)(page * 37 % PAGE_WORDS);
	const volatile uint64_t *at = page_at(&shared, page) + word;
	bool was_gone = atomic_load(&is_gone);
	bool there;
	uint64_t got;

	there = page % 2 ? try_by_jump(at, &got) : try_by_context(at, &got);
	if (there && was_gone)
		give_up("page %zu can still be read", page);
	if (there && got != piece_word(page, word, shared.version))
		give_up("page %zu word %u is %#llx", page, word, (unsigned long long)got);
	if (!there && (caught.si_code != code || caught.si_addr != at))
		give_up("code %d at %p, not %d at %p", caught.si_code, caught.si_addr, code,
			(const void *)(uintptr_t)at);
	atomic_fetch_add(there ? &read_pages : &caught_signals, 1);
}

static void *read_what_goes(void *arg)
{
	int code = (int)(intptr_t)arg;
	uint64_t random = (uintptr_t)&code;

	pthread_barrier_wait(&barrier);
	for (size_t n = 0; n < 64 || !atomic_load(&is_gone); n++)
		read_or_fault(next_random(&random) % PIECE_PAGES, code);
	for (size_t page = 0; page < PIECE_PAGES; page += 11)
		read_or_fault(page, code);
	return NULL;
}

static void set_handler(int flags)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags};

	must(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
}

static int unmap_shared(void)
{
	return munmap(shared.at, PIECE_BYTES);
}

static int move_shared(void)
{
	uint64_t *to = place_new();

	if (mremap(shared.at, PIECE_BYTES, PIECE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return -1;
	words_check(to, 0, PIECE_PAGES, shared.version, "moved");
	pages_free(to, PIECE_PAGES);
	return 0;
}

static int close_shared(void)
{
	return mprotect(shared.at, PIECE_BYTES, PROT_NONE);
}

static void take_away(int (*how)(void), intptr_t code)
{
	pthread_t threads[4];
	uint64_t random = ways_round + 1;

	set_handler(0);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		shared = piece_out(PIECE_PAGES);
		atomic_store(&is_gone, false);
		atomic_store(&read_pages, 0);
		atomic_store(&caught_signals, 0);
		must_be_zero(pthread_barrier_init(&barrier, NULL, ARRAY_LEN(threads) + 1),
			     "barrier");
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			threads[i] = thread_new(read_what_goes, (void *)code);
		pthread_barrier_wait(&barrier);
		usleep((unsigned)(next_random(&random) % 3000));
		must(how() == 0, "taking it away");
		atomic_store(&is_gone, true);
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			thread_end(threads[i]);
		pthread_barrier_destroy(&barrier);
		must(atomic_load(&caught_signals) >= ARRAY_LEN(threads), "nobody got a signal");
		if (how == close_shared) {
			must(mprotect(shared.at, PIECE_BYTES, PROT_READ | PROT_WRITE) == 0,
			     "mprotect");
			piece_check(&shared, "open again");
			piece_free(&shared);
		}
	}
	must(signal(SIGSEGV, SIG_DFL) != SIG_ERR, "signal");
}

static void unmap_under_readers(void)
{
	take_away(unmap_shared, SEGV_MAPERR);
}

static void move_under_readers(void)
{
	take_away(move_shared, SEGV_MAPERR);
}

static void protect_under_readers(void)
{
	take_away(close_shared, SEGV_ACCERR);
}

/* Zeros instead of what was there, at any moment until it is over and for ever after. */
static void *read_what_drops(void *arg UNUSED)
{
	uint64_t random = (uintptr_t)&random;

	pthread_barrier_wait(&barrier);
	for (size_t n = 0; n < 64 || !atomic_load(&is_gone); n++) {
		size_t page = next_random(&random) % PIECE_PAGES;
		bool was_gone = atomic_load(&is_gone);
		uint64_t got = *(const volatile uint64_t *)page_at(&shared, page);

		if (got && (was_gone || got != piece_word(page, 0, shared.version)))
			give_up("page %zu begins with %#llx", page, (unsigned long long)got);
	}
	return NULL;
}

static void drop_under_readers(void)
{
	pthread_t threads[4];

	for (unsigned turn = 0; turn < TURNS; turn++) {
		shared = piece_out(PIECE_PAGES);
		atomic_store(&is_gone, false);
		must_be_zero(pthread_barrier_init(&barrier, NULL, ARRAY_LEN(threads) + 1),
			     "barrier");
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			threads[i] = thread_new(read_what_drops, NULL);
		pthread_barrier_wait(&barrier);
		usleep(turn * 300);
		must(madvise(shared.at, PIECE_BYTES, MADV_DONTNEED) == 0, "madvise");
		atomic_store(&is_gone, true);
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			thread_end(threads[i]);
		pthread_barrier_destroy(&barrier);
		zeros_check(shared.at, PIECE_PAGES, "dropped");
		piece_free(&shared);
	}
}

/* ---- handlers on stacks that are out ---- */

#define ALT_PAGES 32u
static struct piece alts[AT_ONCE];

static void *fault_on_own_stack(void *arg)
{
	const struct piece *mine = arg;
	stack_t stack = {.ss_sp = mine->at, .ss_size = mine->pages * PAGE_BYTES};
	uint64_t got;

	must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
	pthread_barrier_wait(&barrier);
	for (size_t page = 0; page < PIECE_PAGES; page += AT_ONCE) {
		const uint64_t *at = page_at(&shared, page);

		must(!(page % 16 ? try_by_jump(at, &got) : try_by_context(at, &got)), "no signal");
		must(caught.si_addr == at && caught.si_code == SEGV_ACCERR, "another signal");
		must(handler_stack - (uintptr_t)mine->at < mine->pages * PAGE_BYTES,
		     "another stack");
	}
	/* A frame is some KiB at the upper end: what is far below is as it was. */
	part_check(mine, 0, ALT_PAGES / 4, "below the handler's stack");
	stack.ss_flags = SS_DISABLE;
	must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
	return NULL;
}

static void fault_on_stacks_that_are_out(void)
{
	pthread_t threads[AT_ONCE];

	set_handler(SA_ONSTACK);
	for (size_t i = 0; i < AT_ONCE; i++) {
		alts[i] = piece_new(ALT_PAGES, 0);
		piece_write(&alts[i]);
	}
	shared = piece_out(PIECE_PAGES);
	must(close_shared() == 0, "mprotect");
	must_be_zero(pthread_barrier_init(&barrier, NULL, AT_ONCE), "pthread_barrier_init");
	for (size_t i = 0; i < AT_ONCE; i++)
		push_out(alts[i].at, ALT_PAGES);
	for (size_t i = 0; i < AT_ONCE; i++)
		threads[i] = thread_new(fault_on_own_stack, &alts[i]);
	for (size_t i = 0; i < AT_ONCE; i++)
		thread_end(threads[i]);
	pthread_barrier_destroy(&barrier);
	must(signal(SIGSEGV, SIG_DFL) != SIG_ERR, "signal");
	must(mprotect(shared.at, PIECE_BYTES, PROT_READ | PROT_WRITE) == 0, "mprotect");
	piece_check_again(&shared, "open again");
	piece_free(&shared);
	for (size_t i = 0; i < AT_ONCE; i++)
		piece_free(&alts[i]);
}

static const struct way ways[] = {
	{"same-pages", touch_same},
	{"different-pages", touch_different},
	{"lives", live_and_end},
	{"cancel-deferred", cancel_deferred},
	{"cancel-asynchronous", cancel_asynchronously},
	{"munmap-under-readers", unmap_under_readers},
	{"mremap-under-readers", move_under_readers},
	{"mprotect-under-readers", protect_under_readers},
	{"dontneed-under-readers", drop_under_readers},
	{"sigaltstack", fault_on_stacks_that_are_out},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
