/* What a program tells the kernel about its memory, and what it closes for a while. */
#include "tests/integration/stress.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define LOCK_MAX_PAGES 8u /* everybody may lock 64 KiB; there are several threads */

/* ---- madvise ---- */

/* Returns whether this kernel has such a thing, and memory for it. */
static bool advise(struct run run, int advice)
{
	int err = madvise(run_start(run), run.pages * PAGE_BYTES, advice) ? errno : 0;

	if (err && err != EINVAL && err != EAGAIN && err != ENOMEM && err != EBUSY)
		stress_fail("madvise %d: %s", advice, strerror(err));
	return !err;
}

/* Dropped pages are zeros, even if a donor has them. */
static void drop(struct worker *worker)
{
	struct run run = run_pick(worker, STRESS_RUN_PAGES);

	stress_must(advise(run, MADV_DONTNEED), "MADV_DONTNEED");
	run_zero(run);
	page_look(worker, run.area, run.first);
	page_look(worker, run.area, run.first + run.pages - 1);
}

static void free_pages(struct worker *worker)
{
	struct run run = run_pick(worker, STRESS_RUN_PAGES);
	uint64_t *shadow = run.area->shadow + run.first;

	if (!advise(run, MADV_FREE))
		return;
	for (size_t i = 0; i < run.pages; i++)
		if (shadow[i])
			shadow[i] |= STRESS_FREED;
	page_look(worker, run.area, run.first);
	if (stress_one_in(worker, 2))
		run_put(worker, run);
}

/* Changes nothing that a program can see. */
static void advise_run(struct worker *worker)
{
	static const int advices[] = {MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_PAGEOUT,
				      MADV_COLD,	  MADV_WILLNEED,       MADV_COLLAPSE,
				      MADV_RANDOM,	  MADV_NORMAL};
	int advice = advices[stress_below(worker, ARRAY_LEN(advices))];
	struct run run = run_pick(worker, STRESS_RUN_PAGES);

	if (advice == MADV_RANDOM || advice == MADV_NORMAL) /* a flag of the whole mapping */
		run = (struct run){run.area, 0, run.area->pages};
	(void)advise(run, advice);
	page_look(worker, run.area, run.first);
}

static void want_huge_pages(struct worker *worker)
{
	struct area *area = area_pick(worker);

	(void)advise((struct run){area, 0, area->pages},
		     stress_one_in(worker, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	page_look(worker, area, page_pick(worker, area));
}

/* ---- protection ---- */

static void protect(struct run run, int protection)
{
	stress_must(mprotect(run_start(run), run.pages * PAGE_BYTES, protection) == 0, "mprotect");
}

static void close_and_open(struct worker *worker)
{
	struct run run = run_pick(worker, STRESS_RUN_PAGES);

	protect(run, PROT_READ);
	page_look(worker, run.area, run.first);
	protect(run, PROT_NONE);
	protect(run, PROT_READ | PROT_WRITE);
	page_look(worker, run.area, run.first);
	page_put(worker, run.area, run.first + run.pages - 1);
}

/* What garbage collectors do: who touches the run opens it, in a handler of SIGSEGV. */
static __thread struct {
	void *at;
	size_t bytes;
	volatile sig_atomic_t touched;
} guard;

static void on_fault(int number UNUSED, siginfo_t *info, void *context UNUSED)
{
	const char *at = info->si_addr;

	if (!guard.bytes || at < (const char *)guard.at ||
	    at >= (const char *)guard.at + guard.bytes)
		stress_fail("SIGSEGV at %p, code %d", info->si_addr, info->si_code);
	guard.touched = 1;
	if (mprotect(guard.at, guard.bytes, PROT_READ | PROT_WRITE))
		stress_fail("mprotect in a handler: %s", strerror(errno));
}

void stress_catch_faults(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	stress_must(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
}

static void touch_what_is_closed(struct worker *worker)
{
	struct run run = run_pick(worker, STRESS_RUN_PAGES);

	protect(run, stress_one_in(worker, 2) ? PROT_NONE : PROT_READ);
	guard.at = run_start(run);
	guard.touched = 0;
	guard.bytes = run.pages * PAGE_BYTES;
	page_put(worker, run.area, run.first + run.pages - 1);
	stress_must(guard.touched, "no signal for a page that is closed");
	page_look(worker, run.area, run.first);
	guard.bytes = 0;
}

static void lock_and_unlock(struct worker *worker)
{
	struct run run = run_pick(worker, LOCK_MAX_PAGES);

	if (mlock(run_start(run), run.pages * PAGE_BYTES))
		return; /* not permitted so much */
	run_look(worker, run);
	page_put(worker, run.area, run.first);
	stress_must(munlock(run_start(run), run.pages * PAGE_BYTES) == 0, "munlock");
}

const struct operation stress_advice[] = {
	{"drop", drop, 16},
	{"free", free_pages, 16},
	{"advise", advise_run, 20},
	{"huge pages", want_huge_pages, 4},
	{"close and open", close_and_open, 16},
	{"touch what is closed", touch_what_is_closed, 16},
	{"lock and unlock", lock_and_unlock, 8},
	{NULL, NULL, 0},
};
