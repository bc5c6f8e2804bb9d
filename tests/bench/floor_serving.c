#include "tests/bench/floor_serving.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/spin.h"
#include "tests/bench/content.h"
#include "tests/bench/floor_parts.h"
#include "tests/bench/floor_wire.h"
#include "tests/bench/times.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12; from include/uapi/linux/userfaultfd.h of Linux 6.8. */
#ifndef UFFDIO_MOVE
struct uffdio_move {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ((uint64_t)1 << 1)
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif

#define RANGE_PAGES 64u /* from there on, a longer range gains nothing */
#define TAKE_PAGES 32u	/* single ones, at a time: as many as the engine's fault thread takes */
#define MOST_THREADS 2u
#define MESSAGES 16u
#define LOOKS 200u /* at a lock, before the CPU is left to who holds it */

/* Ways to take out: each takes some pages that are here to the stage, and drops them there. */
static void by_page(void);
static void by_range(void);
static void by_remap(void);

static const struct setting {
	const char *name;
	unsigned threads, handlers; /* handlers 0: the faulting thread serves itself */
	bool one_cpu;
	void (*take_out)(void);
} settings[] = {
	{"pager-shm-handler", 1, 1, false, by_page},
	{"pager-shm-handler", 2, 1, false, by_page},
	{"pager-shm-handler-ranges", 2, 1, false, by_range},
	{"pager-shm-handler-remap", 2, 1, false, by_remap},
	{"pager-shm-handler-one-cpu", 2, 1, true, by_page},
	{"pager-shm-two-handlers", 2, 2, false, by_page},
	{"pager-shm-two-handlers-remap", 2, 2, false, by_remap},
	{"pager-shm-same-thread", 2, 0, false, by_page},
	{"pager-shm-same-thread-ranges", 2, 0, false, by_range},
	{"pager-shm-same-thread-remap", 2, 0, false, by_remap},
};

enum phase { WARM, MEASURE, ENOUGH };

static struct {
	/* the same for all settings */
	uint64_t pages, budget;
	struct hash128 *hashes;
	struct floor_wire wire;

	/* of one setting */
	const struct setting *setting;
	int uffd;
	uint8_t *base, *stage; /* stage: of RANGE_PAGES */
	_Atomic int phase;
	atomic_bool handlers_end;

	atomic_bool held; /* the lock of all that follows */
	uint64_t resident;
	bool *is_here;
	uint64_t *queue; /* ring of `pages`: those resident, in the order they came */
	uint64_t oldest;
	uint64_t hand; /* where the next range begins */
} pager;

struct worker {
	pthread_t thread;
	uint64_t random;
	uint64_t ops;
	struct hist all, slow;
};

static struct worker workers[MOST_THREADS];

/* Not lock.h's, which would put a thread to sleep: waking it is what must not be measured here. */
static void lock(void)
{
	while (atomic_exchange_explicit(&pager.held, true, memory_order_acquire)) {
		for (unsigned i = 0; i < LOOKS && atomic_load(&pager.held); i++)
			spin_pause();
		if (atomic_load(&pager.held))
			sched_yield();
	}
}

static void unlock(void)
{
	atomic_store_explicit(&pager.held, false, memory_order_release);
}

/* ---- taking out, under the lock ---- */

static void check(const void *bytes, uint64_t page)
{
	if (!hash128_equal(hash128_of(bytes, PAGE_BYTES), pager.hashes[page]))
		floor_fail("wrong content");
}

static void has_left(uint64_t page, unsigned stage_page)
{
	check(pager.stage + stage_page * PAGE_BYTES, page);
	pager.is_here[page] = false;
	pager.resident--;
}

static void drop_stage(void)
{
	madvise(pager.stage, RANGE_PAGES * PAGE_BYTES, MADV_DONTNEED);
}

/* How many pages have moved; fewer than were asked for when somebody else has one just then. */
static unsigned move(uint64_t page, unsigned stage_page, unsigned pages, uint64_t mode)
{
	struct uffdio_move request = {
		.dst = (uintptr_t)pager.stage + stage_page * PAGE_BYTES,
		.src = (uintptr_t)pager.base + page * PAGE_BYTES,
		.len = pages * PAGE_BYTES,
		.mode = mode,
	};

	if (ioctl(pager.uffd, UFFDIO_MOVE, &request) == 0)
		return pages;
	if (errno != EAGAIN && errno != EBUSY)
		floor_fail("UFFDIO_MOVE");
	return request.move > 0 ? (unsigned)((uint64_t)request.move / PAGE_BYTES) : 0;
}

static void by_page(void)
{
	unsigned staged = 0;

	for (unsigned i = 0; i < TAKE_PAGES; i++) {
		uint64_t page = pager.queue[pager.oldest++ % pager.pages];

		if (move(page, staged, 1, 0))
			has_left(page, staged++);
		else
			pager.queue[(pager.oldest + pager.resident - 1) % pager.pages] = page;
	}
	drop_stage();
}

static uint64_t next_range(void)
{
	uint64_t first = pager.hand;

	pager.hand = (first + RANGE_PAGES) % pager.pages;
	return first;
}

static void range_has_left(uint64_t first, unsigned pages)
{
	for (unsigned i = 0; i < pages; i++)
		if (pager.is_here[first + i])
			has_left(first + i, i);
	drop_stage();
}

static void by_range(void)
{
	uint64_t first = next_range();

	range_has_left(first, move(first, 0, RANGE_PAGES, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES));
}

static void by_remap(void)
{
	uint64_t first = next_range();
	size_t bytes = RANGE_PAGES * PAGE_BYTES;

	if (mremap(pager.base + first * PAGE_BYTES, bytes, bytes,
		   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, pager.stage) == MAP_FAILED)
		floor_fail("mremap");
	range_has_left(first, RANGE_PAGES);
}

/* ---- serving, under the lock ---- */

static void bring(uint64_t page)
{
	const uint8_t *from = floor_wire_read(&pager.wire, page, 1);

	check(from, page);
	if (pager.setting->take_out == by_page)
		pager.queue[(pager.oldest + pager.resident) % pager.pages] = page;
	pager.is_here[page] = true;
	pager.resident++;
	floor_place(pager.uffd, pager.base + page * PAGE_BYTES, from, 1);
}

/* Before the page is placed, as the engine does: its reader does not run and is not interrupted. */
static void serve(uint64_t address)
{
	uint64_t page = (address - (uintptr_t)pager.base) >> PAGE_SHIFT;
	struct uffdio_range range = {address & ~(PAGE_BYTES - 1), PAGE_BYTES};

	if (!pager.is_here[page]) {
		if (pager.resident >= pager.budget)
			pager.setting->take_out();
		bring(page);
	} else if (pager.setting->handlers && ioctl(pager.uffd, UFFDIO_WAKE, &range)) {
		floor_fail("UFFDIO_WAKE"); /* of the second that asked for this page */
	}
}

static void on_sigbus(int signal UNUSED, siginfo_t *info, void *context UNUSED)
{
	lock();
	serve((uintptr_t)info->si_addr);
	unlock();
}

/* Reading is under the lock, too: what is read here is served before another page leaves. */
static bool serve_messages(void)
{
	struct uffd_msg messages[MESSAGES];
	ssize_t got;

	lock();
	got = read(pager.uffd, messages, sizeof(messages));
	for (ssize_t i = 0; i < got / (ssize_t)sizeof(messages[0]); i++)
		serve(messages[i].arg.pagefault.address);
	unlock();
	return got > 0;
}

/* Spins, as the engine does while faults come, and gives way. */
static void *handle(void *arg UNUSED)
{
	struct pollfd look = {.fd = pager.uffd, .events = POLLIN};

	while (!atomic_load(&pager.handlers_end))
		if (poll(&look, 1, 0) <= 0 || !serve_messages())
			sched_yield();
	return NULL;
}

/* ---- the program ---- */

static uint64_t next_random(struct worker *worker)
{
	return xorshift_next(&worker->random);
}

static void visit(struct worker *worker, bool counts)
{
	uint64_t page = next_random(worker) % pager.pages;
	const uint8_t *bytes = pager.base + page * PAGE_BYTES;
	uint64_t begin_ns = clock_ns(), took;

	floor_touch(bytes);
	took = clock_ns() - begin_ns;
	if (!content_check_some((const uint64_t *)bytes, FLOOR_SEED, page, 0, worker->random))
		floor_fail("wrong content");
	if (!counts)
		return;
	worker->ops++;
	hist_add(&worker->all, took);
	if (took >= TIMES_SLOW_NS)
		hist_add(&worker->slow, took);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	int phase;

	while ((phase = atomic_load_explicit(&pager.phase, memory_order_relaxed)) != ENOUGH)
		visit(worker, phase == MEASURE);
	return NULL;
}

/* ---- one setting ---- */

static void must_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	errno = pthread_create(thread, NULL, run, arg);
	if (errno)
		floor_fail("pthread_create");
}

static void open_setting(const struct setting *setting)
{
	pager.setting = setting;
	pager.uffd = setting->handlers ? floor_uffd(UFFD_FEATURE_MOVE, O_NONBLOCK)
				       : floor_uffd(UFFD_FEATURE_MOVE | UFFD_FEATURE_SIGBUS, 0);
	pager.base = floor_map(pager.pages);
	pager.stage = floor_map(RANGE_PAGES);
	floor_register(pager.uffd, pager.base, pager.pages);
	floor_register(pager.uffd, pager.stage, RANGE_PAGES);
	atomic_store(&pager.phase, WARM);
	atomic_store(&pager.handlers_end, false);
	memset(pager.is_here, 0, pager.pages * sizeof(*pager.is_here));
	pager.resident = 0;
	pager.oldest = 0;
	pager.hand = 0;
	/* Every second page: in no order that would suit ranges. */
	for (uint64_t page = 0; page < pager.pages && pager.resident < pager.budget; page += 2)
		bring(page);
}

static void close_setting(void)
{
	close(pager.uffd);
	munmap(pager.base, pager.pages * PAGE_BYTES);
	munmap(pager.stage, RANGE_PAGES * PAGE_BYTES);
}

static void pass(uint64_t ns)
{
	struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

/* Lets all threads do their work for a time; returns for how long. */
static uint64_t run_threads(const struct setting *setting, uint64_t time_ns)
{
	pthread_t handlers[MOST_THREADS];
	uint64_t begin_ns, took_ns;

	for (unsigned i = 0; i < setting->handlers; i++)
		must_start(&handlers[i], handle, NULL);
	memset(workers, 0, sizeof(workers));
	for (unsigned i = 0; i < setting->threads; i++) {
		workers[i].random = content_mix(FLOOR_SEED + i) | 1;
		must_start(&workers[i].thread, work, &workers[i]);
	}
	pass(time_ns / 2);
	atomic_store(&pager.phase, MEASURE);
	begin_ns = clock_ns();
	pass(time_ns);
	atomic_store(&pager.phase, ENOUGH);
	took_ns = clock_ns() - begin_ns;
	for (unsigned i = 0; i < setting->threads; i++)
		pthread_join(workers[i].thread, NULL);
	atomic_store(&pager.handlers_end, true);
	for (unsigned i = 0; i < setting->handlers; i++)
		pthread_join(handlers[i], NULL);
	return took_ns;
}

static void print(const struct setting *setting, uint64_t took_ns, bool awake)
{
	uint64_t ops = workers[0].ops;
	char more[64];

	for (unsigned i = 1; i < setting->threads; i++) {
		hist_merge(&workers[0].all, &workers[i].all);
		hist_merge(&workers[0].slow, &workers[i].slow);
		ops += workers[i].ops;
	}
	snprintf(more, sizeof(more), ", \"idle_cpus_awake\": %s", awake ? "true" : "false");
	floor_print(&(struct floor_result){setting->name, "random-read", setting->threads,
					   (double)took_ns * setting->threads / (double)ops,
					   &workers[0].all, &workers[0].slow},
		    more);
}

static void floor_of(const struct setting *setting, uint64_t time_ns, bool awake)
{
	uint64_t took_ns;

	if (setting->one_cpu)
		floor_pin(0);
	open_setting(setting);
	took_ns = run_threads(setting, time_ns);
	print(setting, took_ns, awake);
	close_setting();
	if (setting->one_cpu)
		floor_unpin();
}

/* ---- all ---- */

static bool can_move(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	int status = uffd < 0 ? -1 : ioctl(uffd, UFFDIO_API, &api);

	if (status)
		floor_fail("userfaultfd");
	close(uffd);
	return api.features & UFFD_FEATURE_MOVE;
}

/* As pager/awake.h, all the time. The request ends when what is returned is closed; -1: there is
 * none. */
static int keep_awake(void)
{
	int32_t latency_us = 0;
	int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, &latency_us, sizeof(latency_us)) == sizeof(latency_us))
		return fd;
	fprintf(stderr, "bench_floor: idle CPUs are not kept awake: /dev/cpu_dma_latency: %s\n",
		strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static void prepare(uint64_t pages)
{
	uint64_t words[CONTENT_WORDS];

	pager.pages = pages - pages % RANGE_PAGES;
	pager.budget = pager.pages / 2;
	pager.hashes = calloc(pager.pages, sizeof(*pager.hashes));
	pager.is_here = calloc(pager.pages, sizeof(*pager.is_here));
	pager.queue = calloc(pager.pages, sizeof(*pager.queue));
	if (!pager.hashes || !pager.is_here || !pager.queue)
		floor_fail("calloc");
	if (floor_wire_open(FLOOR_SHM, pager.pages, FLOOR_SEED, &pager.wire))
		floor_fail("floor_wire_open");
	for (uint64_t page = 0; page < pager.pages; page++) {
		content_fill(words, FLOOR_SEED, page, 0);
		pager.hashes[page] = hash128_of(words, PAGE_BYTES);
	}
	floor_on_sigbus(on_sigbus);
}

void floors_of_serving(uint64_t pages, uint64_t time_ns)
{
	int awake;

	if (!can_move()) {
		printf("{\"under\": \"pager-shm-handler\", \"skipped\": \"no UFFDIO_MOVE "
		       "here\"}\n");
		return;
	}
	awake = keep_awake();
	prepare(pages);
	for (unsigned i = 0; i < ARRAY_LEN(settings); i++)
		floor_of(&settings[i], time_ns, awake >= 0);
	floor_wire_close(&pager.wire);
	free(pager.hashes);
	free(pager.is_here);
	free(pager.queue);
	if (awake >= 0)
		close(awake);
}
