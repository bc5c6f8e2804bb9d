/*
 * The floor: how fast this machine could be, for the figures of the engine to be held against.
 * Three kinds of it, one JSON line each:
 *
 *	fault-…  a page placed on a fault, nothing fetched
 *	wire-…   one page fetched, no fault
 *	pager-…  a hundred-line pager that does both, half of the pages local; and one that serves
 *	         as a transparent pager must, in a thread of its own (floor_serving.h)
 *
 * Faults are served by the kernel alone, by a handler thread that spins or sleeps on the other CPU
 * or on the same one, or by the faulting thread. The first pager does all of it in the faulting
 * thread: fault, fetch, compare hashes, place, evict in batches. Its memory is only read, so it
 * never has to write back; and it could not serve a fault inside a system call, which is why the
 * engine may not be built this way.
 *
 * Runs on its own; links nothing of the engine. As a third argument "faults" measures only those,
 * "serving" only the pager with a thread of its own.
 */
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/parse.h"
#include "tests/bench/content.h"
#include "tests/bench/floor_parts.h"
#include "tests/bench/floor_serving.h"
#include "tests/bench/floor_wire.h"
#include "tests/bench/times.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVICT_PAGES 64u /* from there on, a longer batch gains nothing */
#define WINDOW_PAGES 32u
#define FAULT_REGION_PAGES 8192u

static uint64_t run_ns = 500000000;

/* ---- faults alone ---- */

static struct {
	int uffd;
	uint8_t *base;
	uint8_t source[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
	unsigned cpu; /* of the handler thread */
} lone;

static NORETURN void *handler_thread(void *arg UNUSED)
{
	struct uffd_msg msg;

	floor_pin(lone.cpu);
	for (;;) /* read(2) is where pthread_cancel() ends it */
		if (read(lone.uffd, &msg, sizeof(msg)) == sizeof(msg))
			floor_place(lone.uffd,
				    (uint8_t *)(msg.arg.pagefault.address & ~(PAGE_BYTES - 1)),
				    lone.source, 1);
}

static void lone_sigbus(int signal UNUSED, siginfo_t *info, void *context UNUSED)
{
	floor_place(lone.uffd, (uint8_t *)((uintptr_t)info->si_addr & ~(PAGE_BYTES - 1)),
		    lone.source, 1);
}

/* A write, because reading what was never written is answered with the zero page. */
static void touch_all(struct hist *hist)
{
	for (uint64_t page = 0; page < FAULT_REGION_PAGES; page++) {
		uint64_t begin_ns = clock_ns();

		__atomic_store_n((uint64_t *)(lone.base + page * PAGE_BYTES), 1, __ATOMIC_RELAXED);
		hist_add(hist, clock_ns() - begin_ns);
	}
}

static double mean_ns(const struct hist *hist)
{
	return (double)hist->sum / (double)hist_count(hist);
}

/* Faults on a fresh region, over and over for the time given. */
static void measure_faults(const char *name)
{
	static struct hist hist;
	uint64_t begin_ns = clock_ns();

	memset(&hist, 0, sizeof(hist));
	while (clock_ns() - begin_ns < run_ns) {
		touch_all(&hist);
		madvise(lone.base, FAULT_REGION_PAGES * PAGE_BYTES, MADV_DONTNEED);
	}
	floor_print(&(struct floor_result){name, "fault", 1, mean_ns(&hist), &hist, NULL}, "");
}

static void floor_kernel(const char *name)
{
	floor_pin(0);
	lone.base = floor_map(FAULT_REGION_PAGES);
	measure_faults(name);
	munmap(lone.base, FAULT_REGION_PAGES * PAGE_BYTES);
	floor_unpin();
}

static void floor_same_thread(const char *name)
{
	floor_pin(0);
	lone.base = floor_map(FAULT_REGION_PAGES);
	lone.uffd = floor_uffd(UFFD_FEATURE_SIGBUS, 0);
	floor_register(lone.uffd, lone.base, FAULT_REGION_PAGES);
	floor_on_sigbus(lone_sigbus);
	measure_faults(name);
	close(lone.uffd);
	munmap(lone.base, FAULT_REGION_PAGES * PAGE_BYTES);
	floor_unpin();
}

static void floor_handler(const char *name, unsigned cpu, bool spin)
{
	pthread_t thread;

	floor_pin(0);
	lone.cpu = cpu;
	lone.base = floor_map(FAULT_REGION_PAGES);
	lone.uffd = floor_uffd(0, spin ? O_NONBLOCK : 0);
	floor_register(lone.uffd, lone.base, FAULT_REGION_PAGES);
	if (pthread_create(&thread, NULL, handler_thread, NULL))
		floor_fail("pthread_create");
	measure_faults(name);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	close(lone.uffd);
	munmap(lone.base, FAULT_REGION_PAGES * PAGE_BYTES);
	floor_unpin();
}

static void floors_of_faults(void)
{
	bool two = sysconf(_SC_NPROCESSORS_ONLN) > 1;

	floor_kernel("fault-kernel");
	floor_same_thread("fault-same-thread");
	floor_handler("fault-handler-same-cpu", 0, false);
	if (!two)
		return;
	floor_handler("fault-handler-sleeps", 1, false);
	floor_handler("fault-handler-spins", 1, true);
}

/* ---- fetches alone ---- */

static const char *const wire_names[] = {
	[FLOOR_SHM] = "shm", [FLOOR_TCP_SPIN] = "tcp-spin", [FLOOR_TCP_SLEEP] = "tcp-sleep"};

static void print_wire(const char *prefix, enum floor_wire_kind kind, const char *order,
		       double ns_per_op, const struct hist *all, const struct hist *slow)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%s", prefix, wire_names[kind]);
	floor_print(&(struct floor_result){name, order, 1, ns_per_op, all, slow}, "");
}

static uint64_t next_random(void)
{
	static uint64_t state = XORSHIFT_SEED;

	return xorshift_next(&state);
}

static void floor_of_wire(enum floor_wire_kind kind, uint64_t pages)
{
	static uint64_t local[CONTENT_WORDS];
	static struct hist hist;
	struct floor_wire wire;
	uint64_t begin_ns;

	if (floor_wire_open(kind, pages, FLOOR_SEED, &wire))
		floor_fail("floor_wire_open");
	memset(&hist, 0, sizeof(hist));
	if (!floor_wire_read(&wire, 0, 1)) /* the server has filled its memory when it answers */
		floor_fail("wire");
	begin_ns = clock_ns();
	while (clock_ns() - begin_ns < run_ns) {
		uint64_t page = next_random() % pages;
		uint64_t start_ns = clock_ns();
		const void *from = floor_wire_read(&wire, page, 1);

		if (!from)
			floor_fail("wire");
		memcpy(local, from, PAGE_BYTES);
		hist_add(&hist, clock_ns() - start_ns);
		if (!content_check_some(local, FLOOR_SEED, page, 0, next_random()))
			floor_fail("wrong content");
	}
	print_wire("wire", kind, "fetch", mean_ns(&hist), &hist, NULL);
	floor_wire_close(&wire);
}

/* ---- the hundred-line pager ---- */

static struct {
	int uffd, pidfd;
	uint8_t *base;
	uint64_t pages, budget, resident;
	uint64_t *queue; /* ring of `pages`: those resident, in the order they came */
	uint64_t oldest;
	bool *is_here;
	struct hash128 *hashes;
	uint64_t expected; /* page that a sequential reader would ask for next */
	struct floor_wire wire;
} pager;

/* Scattered pages in one call where the kernel can (Linux 6.13), else one by one. */
static void drop(const struct iovec *ranges, unsigned n)
{
	if (syscall(SYS_process_madvise, pager.pidfd, ranges, n, MADV_DONTNEED, 0) >= 0)
		return;
	for (unsigned i = 0; i < n; i++)
		madvise(ranges[i].iov_base, ranges[i].iov_len, MADV_DONTNEED);
}

static void evict(void)
{
	struct iovec ranges[EVICT_PAGES];

	for (unsigned i = 0; i < EVICT_PAGES; i++) {
		uint64_t page = pager.queue[pager.oldest++ % pager.pages];
		uint8_t *address = pager.base + page * PAGE_BYTES;

		if (!hash128_equal(hash128_of(address, PAGE_BYTES), pager.hashes[page]))
			floor_fail("a page that is only read has changed");
		ranges[i] = (struct iovec){address, PAGE_BYTES};
		pager.is_here[page] = false;
	}
	drop(ranges, EVICT_PAGES);
	pager.resident -= EVICT_PAGES;
}

/* One page, or a window of those that are out when they are asked for in sequence. */
static unsigned window_at(uint64_t page)
{
	unsigned n = 1;

	if (page == pager.expected)
		while (n < WINDOW_PAGES && page + n < pager.pages && !pager.is_here[page + n])
			n++;
	pager.expected = (page + n) % pager.pages;
	return n;
}

static void pager_sigbus(int signal UNUSED, siginfo_t *info, void *context UNUSED)
{
	uint64_t page = ((uintptr_t)info->si_addr - (uintptr_t)pager.base) >> PAGE_SHIFT;
	unsigned n = window_at(page);
	const uint8_t *from = floor_wire_read(&pager.wire, page, n);

	if (!from)
		floor_fail("wire");
	for (unsigned i = 0; i < n; i++) {
		if (!hash128_equal(hash128_of(from + i * PAGE_BYTES, PAGE_BYTES),
				   pager.hashes[page + i]))
			floor_fail("wrong content");
		pager.queue[(pager.oldest + pager.resident++) % pager.pages] = page + i;
		pager.is_here[page + i] = true;
	}
	floor_place(pager.uffd, pager.base + page * PAGE_BYTES, from, n);
	while (pager.resident > pager.budget)
		evict();
}

static void pager_open(enum floor_wire_kind kind, uint64_t pages)
{
	uint64_t words[CONTENT_WORDS];

	pager.pages = pages;
	pager.budget = pages / 2;
	pager.resident = 0;
	pager.oldest = 0;
	pager.base = floor_map(pages);
	pager.queue = calloc(pages, sizeof(*pager.queue));
	pager.is_here = calloc(pages, sizeof(*pager.is_here));
	pager.hashes = calloc(pages, sizeof(*pager.hashes));
	pager.pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (!pager.queue || !pager.is_here || !pager.hashes)
		floor_fail("calloc");
	if (floor_wire_open(kind, pages, FLOOR_SEED, &pager.wire))
		floor_fail("floor_wire_open");
	for (uint64_t page = 0; page < pages; page++) {
		content_fill(words, FLOOR_SEED, page, 0);
		pager.hashes[page] = hash128_of(words, PAGE_BYTES);
	}
	pager.uffd = floor_uffd(UFFD_FEATURE_SIGBUS, 0);
	floor_register(pager.uffd, pager.base, pages);
	floor_on_sigbus(pager_sigbus);
}

static void pager_close(void)
{
	close(pager.uffd);
	close(pager.pidfd);
	floor_wire_close(&pager.wire);
	munmap(pager.base, pager.pages * PAGE_BYTES);
	free(pager.queue);
	free(pager.is_here);
	free(pager.hashes);
}

/* Goes over the pages for a time; what is read is checked. Returns ns per access. */
static double pager_read(bool sequential, uint64_t time_ns, struct hist *all, struct hist *slow)
{
	uint64_t begin_ns = clock_ns(), now = begin_ns, ops = 0;

	for (; now - begin_ns < time_ns; ops++) {
		uint64_t page = (sequential ? ops : next_random()) % pager.pages;
		const uint64_t *words = (const uint64_t *)(pager.base + page * PAGE_BYTES);
		uint64_t took;

		now = clock_ns();
		floor_touch((const uint8_t *)words);
		took = clock_ns() - now;
		hist_add(all, took);
		if (took >= TIMES_SLOW_NS)
			hist_add(slow, took);
		if (!(sequential ? content_check_sum(words, FLOOR_SEED, page, 0)
				 : content_check_some(words, FLOOR_SEED, page, 0, next_random())))
			floor_fail("wrong content");
	}
	return (double)(clock_ns() - begin_ns) / (double)ops;
}

static void floor_of_pager(enum floor_wire_kind kind, uint64_t pages, bool sequential)
{
	static struct hist warm, all, slow;
	double ns_per_op;

	memset(&all, 0, sizeof(all));
	memset(&slow, 0, sizeof(slow));
	pager_open(kind, pages);
	pager_read(true, run_ns / 2, &warm, &warm);
	pager_read(sequential, run_ns / 2, &warm, &warm);
	ns_per_op = pager_read(sequential, run_ns, &all, &slow);
	print_wire("pager", kind, sequential ? "sequential-read" : "random-read", ns_per_op, &all,
		   &slow);
	pager_close();
}

static void floors_of_fetching(uint64_t pages)
{
	for (enum floor_wire_kind kind = FLOOR_SHM; kind <= FLOOR_TCP_SLEEP; kind++) {
		floor_of_wire(kind, pages);
		floor_of_pager(kind, pages, false);
		floor_of_pager(kind, pages, true);
	}
}

int main(int argc, char **argv)
{
	const char *only = argc > 3 ? argv[3] : NULL;
	bool faults = !only || strcmp(only, "faults") == 0;
	bool serving = !only || strcmp(only, "serving") == 0;
	uint64_t bytes = 256 << 20;
	uint32_t ms = 500;

	if (argc > 4 || !(faults || serving) || (argc > 1 && parse_size(argv[1], &bytes)) ||
	    (argc > 2 && parse_duration_ms(argv[2], &ms)) || bytes / PAGE_BYTES < 8 * EVICT_PAGES) {
		fprintf(stderr, "usage: bench_floor [BYTES [TIME [faults|serving]]]\n");
		return 1;
	}
	run_ns = (uint64_t)ms * 1000000;
	if (faults)
		floors_of_faults();
	if (!only)
		floors_of_fetching(bytes / PAGE_BYTES);
	if (serving)
		floors_of_serving(bytes / PAGE_BYTES, run_ns);
	return 0;
}
