/* What a program tells the kernel about its memory, and what it closes for a while. */
#include "tests/integration/stress.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define RUN_MAX_PAGES 256u
#define LOCK_MAX_PAGES 8u /* everybody may lock 64 KiB; there are several threads */

/* ---- madvise ---- */

/* Returns whether this kernel has such a thing, and memory for it. */
static bool advise(const void *at, size_t pages, int advice)
{
	int err = madvise((void *)(uintptr_t)at, pages * PAGE_BYTES, advice) ? errno : 0;

	if (err && err != EINVAL && err != EAGAIN && err != ENOMEM && err != EBUSY)
		stress_fail("madvise %d: %s", advice, strerror(err));
	return !err;
}

/* Dropped pages are zeros, even if a donor has them. */
static void drop(struct worker *worker)
{
	struct area *area = area_pick(worker);
	size_t first, n;

	if (!area)
		return;
	n = run_pick(worker, area, RUN_MAX_PAGES, &first);
	stress_must(advise(area_page(area, first), n, MADV_DONTNEED), "MADV_DONTNEED");
	memset(area->shadow + first, 0, n * sizeof(area->shadow[0]));
	page_look(worker, area, first);
	page_look(worker, area, first + n - 1);
}

static void free_pages(struct worker *worker)
{
	struct area *area = area_pick(worker);
	size_t first, n;

	if (!area)
		return;
	n = run_pick(worker, area, RUN_MAX_PAGES, &first);
	if (!advise(area_page(area, first), n, MADV_FREE))
		return;
	for (size_t page = first; page < first + n; page++)
		if (area->shadow[page])
			area->shadow[page] |= STRESS_FREED;
	page_look(worker, area, first);
	if (stress_one_in(worker, 2))
		run_put(worker, area, first, n);
}

/* Changes nothing that a program can see. */
static void advise_run(struct worker *worker)
{
	static const int advices[] = {MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_PAGEOUT,
				      MADV_COLD,	  MADV_WILLNEED,       MADV_COLLAPSE,
				      MADV_RANDOM,	  MADV_NORMAL};
	struct area *area = area_pick(worker);
	int advice = advices[stress_below(worker, ARRAY_LEN(advices))];
	size_t first, n;

	if (!area)
		return;
	n = run_pick(worker, area, RUN_MAX_PAGES, &first);
	if (advice == MADV_RANDOM || advice == MADV_NORMAL) /* a flag of the whole mapping */
		first = 0, n = area->pages;
	(void)advise(area_page(area, first), n, advice);
	page_look(worker, area, first);
}

static void want_huge_pages(struct worker *worker)
{
	const struct area *area = area_pick(worker);

	if (!area)
		return;
	(void)advise(area->at, area->pages,
		     stress_one_in(worker, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	page_look(worker, area, stress_below(worker, area->pages));
}

/* ---- protection ---- */

static void protect(const struct area *area, size_t first, size_t n, int protection)
{
	stress_must(mprotect(area_page(area, first), n * PAGE_BYTES, protection) == 0, "mprotect");
}

static void close_and_open(struct worker *worker)
{
	struct area *area = area_pick(worker);
	size_t first, n;

	if (!area)
		return;
	n = run_pick(worker, area, RUN_MAX_PAGES, &first);
	protect(area, first, n, PROT_READ);
	page_look(worker, area, first);
	protect(area, first, n, PROT_NONE);
	protect(area, first, n, PROT_READ | PROT_WRITE);
	page_look(worker, area, first);
	page_put(worker, area, first + n - 1);
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
	struct area *area = area_pick(worker);
	size_t first, n;

	if (!area)
		return;
	n = run_pick(worker, area, RUN_MAX_PAGES, &first);
	protect(area, first, n, stress_one_in(worker, 2) ? PROT_NONE : PROT_READ);
	guard.at = area_page(area, first);
	guard.touched = 0;
	guard.bytes = n * PAGE_BYTES;
	page_put(worker, area, first + n - 1);
	stress_must(guard.touched, "no signal for a page that is closed");
	page_look(worker, area, first);
	guard.bytes = 0;
}

static void lock_and_unlock(struct worker *worker)
{
	struct area *area = area_pick(worker);
	size_t first, n;

	if (!area)
		return;
	n = run_pick(worker, area, LOCK_MAX_PAGES, &first);
	if (mlock(area_page(area, first), n * PAGE_BYTES))
		return; /* not permitted so much */
	run_look(worker, area, first, n);
	page_put(worker, area, first);
	stress_must(munlock(area_page(area, first), n * PAGE_BYTES) == 0, "munlock");
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
