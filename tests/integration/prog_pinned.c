/*
 * Has memory that must stay where it is: some of it locked by mlock(2), some registered with
 * io_uring as buffers of reads that are waiting for their data, some under O_DIRECT reads that go
 * on all the time. Meanwhile it works on other memory, several times the budget. The locked pages
 * must be resident at any moment; what is read must be in the buffers; all must be right.
 *
 *   prog_pinned MIB LOCKED_MIB SECONDS [FILE]
 *   prog_pinned MIB all SECONDS
 *
 * With "all" everything is locked from the start until the memory has been filled, by mlockall(2).
 * FILE is made and read with O_DIRECT. Without one nothing is registered either, and locked pages
 * are all that is put to the test. Ends with 0 and one line that says what was put to the test.
 */
#include "common/base/clock.h"
#include "tests/integration/give_up.h"
#include "tests/integration/must.h"
#include "tests/integration/pages.h"
#include "tests/integration/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFERS 4u
#define BUFFER_PAGES 16u /* a pipe's worth */
#define BUFFER_BYTES (BUFFER_PAGES * PAGE_BYTES)
#define DIRECT_BYTES (1u << 20)

static uint64_t *memory, *locked;
static size_t page_count, locked_count;
static atomic_bool enough;
static _Atomic uint64_t direct_reads;

/* ---- contents ---- */

static void write_pages(uint64_t *at, size_t pages, uint64_t version)
{
	for (size_t page = 0; page < pages; page++)
		page_write(at, page, version);
}

static void check_pages(const uint64_t *at, size_t pages, uint64_t version, const char *what)
{
	char story[PAGE_STORY_BYTES];

	for (size_t page = 0; page < pages; page++) {
		unsigned word = page_first_wrong(at, page, version);

		if (word < PAGE_WORDS)
			give_up("%s: %s", what, page_story(at, page, word, version, story));
	}
}

/* ---- locked ---- */

static void check_is_here(const uint64_t *at, size_t pages)
{
	static unsigned char there[1 << 16];
	size_t done, n;

	for (done = 0; done < pages; done += n) {
		n = pages - done < sizeof(there) ? pages - done : sizeof(there);
		if (mincore((void *)(uintptr_t)(at + done * PAGE_WORDS), n * PAGE_BYTES, there))
			give_up("mincore: %s", strerror(errno));
		for (size_t i = 0; i < n; i++)
			if (!(there[i] & 1))
				give_up("locked page %zu is not resident", done + i);
	}
}

/* ---- registered, with reads that wait ---- */

static struct io_uring ring;
static struct iovec buffers[BUFFERS];
static int pipes[BUFFERS][2];

static void begin_read(unsigned i)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_read_fixed(sqe, pipes[i][0], buffers[i].iov_base, BUFFER_BYTES, 0, (int)i);
	sqe->user_data = i;
	if (io_uring_submit(&ring) != 1)
		give_up("io_uring_submit");
}

/* False if there is no io_uring here. */
static bool register_buffers(void)
{
	if (io_uring_queue_init(BUFFERS, &ring, 0))
		return false;
	for (unsigned i = 0; i < BUFFERS; i++) {
		buffers[i].iov_base = map_at(NULL, BUFFER_PAGES, 0);
		buffers[i].iov_len = BUFFER_BYTES;
		write_pages(buffers[i].iov_base, BUFFER_PAGES, 1);
		if (pipe(pipes[i]) || fcntl(pipes[i][1], F_SETPIPE_SZ, BUFFER_BYTES) < 0)
			give_up("pipe: %s", strerror(errno));
	}
	if (io_uring_register_buffers(&ring, buffers, BUFFERS))
		give_up("io_uring_register_buffers");
	for (unsigned i = 0; i < BUFFERS; i++)
		begin_read(i);
	return true;
}

/* Data come at last: the kernel puts them where the buffers were when they were registered. */
static void end_reads(uint64_t version)
{
	static uint64_t data[BUFFER_PAGES * PAGE_WORDS];
	struct io_uring_cqe *cqe;

	write_pages(data, BUFFER_PAGES, version);
	for (unsigned i = 0; i < BUFFERS; i++) {
		if (write(pipes[i][1], data, BUFFER_BYTES) != BUFFER_BYTES)
			give_up("pipe: %s", strerror(errno));
		if (io_uring_wait_cqe(&ring, &cqe) || cqe->res != (int)BUFFER_BYTES)
			give_up("a read returned %d", cqe->res);
		io_uring_cqe_seen(&ring, cqe);
		check_pages(buffers[i].iov_base, BUFFER_PAGES, version, "registered buffer");
	}
}

/* ---- O_DIRECT ---- */

static void make_file(const char *path)
{
	uint64_t *data = map_at(NULL, DIRECT_BYTES / PAGE_BYTES, 0);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	write_pages(data, DIRECT_BYTES / PAGE_BYTES, 5);
	if (fd < 0 || write(fd, data, DIRECT_BYTES) != DIRECT_BYTES || fsync(fd) || close(fd))
		give_up("%s: %s", path, strerror(errno));
	munmap(data, DIRECT_BYTES);
}

static void *read_directly(void *path)
{
	uint64_t *buffer = map_at(NULL, DIRECT_BYTES / PAGE_BYTES, 0);
	int fd = open(path, O_RDONLY | O_DIRECT);

	while (fd >= 0 && !atomic_load(&enough)) {
		memset(buffer, 0x5a, DIRECT_BYTES);
		if (pread(fd, buffer, DIRECT_BYTES, 0) != DIRECT_BYTES)
			give_up("%s: %s", (char *)path, strerror(errno));
		check_pages(buffer, DIRECT_BYTES / PAGE_BYTES, 5, "O_DIRECT");
		atomic_fetch_add(&direct_reads, 1);
		usleep(1000);
	}
	return NULL;
}

/* ---- all is locked ---- */

static void lock_all(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		give_up("mlockall: %s", strerror(errno));
}

#define IDLE_MOST_MS 100 /* of a second */
#define IDLE_TRIES \
	20 /* until the engine has tried all there is, which an emulated one does slowly */

static int64_t cpu_ms(void)
{
	struct rusage now;

	getrusage(RUSAGE_SELF, &now);
	return (now.ru_utime.tv_sec + now.ru_stime.tv_sec) * 1000 +
	       (now.ru_utime.tv_usec + now.ru_stime.tv_usec) / 1000;
}

/* Nothing can be taken out: trying it again and again costs next to nothing. */
static void check_is_idle(void)
{
	int64_t ms = 0;

	for (unsigned i = 0; i < IDLE_TRIES; i++) {
		int64_t before = cpu_ms();

		sleep(1);
		ms = cpu_ms() - before;
		if (ms <= IDLE_MOST_MS)
			return;
	}
	give_up("%d ms of CPU in a second in which nothing could be done", (int)ms);
}

static void all_was_locked(void)
{
	check_is_here(memory, page_count);
	check_is_idle();
	engine_is_small();
	if (munlockall())
		give_up("munlockall: %s", strerror(errno));
}

/* ---- the whole ---- */

static unsigned work_until(uint64_t end_ns)
{
	unsigned rounds = 0;

	for (; clock_ns() < end_ns || rounds < 2; rounds++) {
		check_pages(memory, page_count, rounds, "memory");
		write_pages(memory, page_count, rounds + 1);
		check_is_here(locked, locked_count);
	}
	check_pages(locked, locked_count, 7, "locked");
	return rounds;
}

int main(int argc, char **argv)
{
	const char *file = argc == 5 ? argv[4] : NULL;
	bool all = argc == 4 && strcmp(argv[2], "all") == 0;
	bool has_ring = false;
	pthread_t thread;
	unsigned rounds;

	if (argc != 4 && argc != 5)
		give_up("usage: prog_pinned MIB LOCKED_MIB SECONDS [FILE]");
	if (all)
		lock_all();
	page_count = (strtoull(argv[1], NULL, 10) << 20) / PAGE_BYTES;
	locked_count = ((all ? 1 : strtoull(argv[2], NULL, 10)) << 20) / PAGE_BYTES;
	memory = map_at(NULL, page_count, 0);
	locked = map_at(NULL, locked_count, 0);
	write_pages(locked, locked_count, 7);
	if (file) {
		make_file(file);
		has_ring = register_buffers();
	}
	write_pages(memory, page_count, 0);
	if (all)
		all_was_locked();
	if (mlock(locked, locked_count * PAGE_BYTES))
		give_up("mlock: %s", strerror(errno));
	if (file && pthread_create(&thread, NULL, read_directly, argv[4]))
		give_up("no thread");
	rounds = work_until(clock_ns() + strtoull(argv[3], NULL, 10) * 1000000000u);
	if (has_ring)
		end_reads(9);
	atomic_store(&enough, true);
	if (file)
		pthread_join(thread, NULL);
	printf("right: %u rounds, %s, %llu direct reads\n", rounds,
	       has_ring ? "registered buffers" : "no io_uring",
	       (unsigned long long)atomic_load(&direct_reads));
	return 0;
}
