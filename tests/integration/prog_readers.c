/*
 * Threads read memory that was out while another unmaps, moves, protects or drops it, and come back
 * from the signals that they get for it, also from those on stacks that are out: see ways.h.
 */
#include "tests/integration/threads.h"
#include "tests/integration/ways.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#define AT_ONCE 8u
#define TURNS 5u

static struct piece shared;
static pthread_barrier_t barrier;

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
