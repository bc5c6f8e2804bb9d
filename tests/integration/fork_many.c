/* Children of many threads, many children, and children that change all they have. */
#include "tests/integration/fork.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- with threads that go on ---- */

static atomic_bool enough;

static void *keep_reading(void *arg)
{
	uint64_t random = (uint64_t)(uintptr_t)arg;

	while (!atomic_load(&enough)) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		check_page((random >> 33) % page_count, 0, "thread, while others fork");
	}
	return NULL;
}

static int fork_to_check(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		check_all(1, 0, "child of many threads");
		_exit(0);
	}
	return wait_for_zero(pid, "child");
}

int fork_with_threads(void)
{
	pthread_t threads[2];
	uintptr_t i;
	int err;

	atomic_store(&enough, false);
	for (i = 0; i < ARRAY_LEN(threads); i++)
		if (pthread_create(&threads[i], NULL, keep_reading, (void *)(i + 1)))
			give_up("no thread");
	err = fork_to_check();
	atomic_store(&enough, true);
	for (i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	return err;
}

/* ---- many ---- */

#define FORKS 100u	  /* in each round */
#define MORE_MAPPINGS 40u /* arenas of the C library, a piece of the engine's */
#define MORE_KIB (16u << 10)

#define MORE_FILES 8u /* of others that are paged at the same time */

struct size {
	size_t mappings, kib, descriptors, files;
};

static size_t count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	size_t n = 0;
	int c;

	if (!file)
		give_up("%s: %s", path, strerror(errno));
	while ((c = fgetc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

/* A directory that is not there has none: nobody has made it before. */
static size_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		give_up("%s: %s", path, strerror(errno));
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Slabs of donors are mapped over shm, so their number is in the size. */
static struct size size_now(void)
{
	struct size size = {count_lines("/proc/self/maps"), 0, count_entries("/proc/self/fd"), 0};
	FILE *file = fopen("/proc/self/statm", "r");
	char statistics[64];

	if (!file || fscanf(file, "%zu", &size.kib) != 1)
		give_up("statm: %s", strerror(errno));
	fclose(file);
	size.kib *= PAGE_BYTES / 1024;
	snprintf(statistics, sizeof(statistics), "/dev/shm/libpager-%u", geteuid());
	size.files = count_entries(statistics);
	return size;
}

static void check_growth(struct size before, struct size after)
{
	if (after.mappings > before.mappings + MORE_MAPPINGS || after.kib > before.kib + MORE_KIB ||
	    after.descriptors > before.descriptors || after.files > before.files + MORE_FILES)
		give_up("from %zu mappings, %zu KiB, %zu descriptors and %zu files to %zu, %zu, "
			"%zu and %zu",
			before.mappings, before.kib, before.descriptors, before.files,
			after.mappings, after.kib, after.descriptors, after.files);
}

/* One after the other, each with something else: nothing is left of them. */
int fork_many(void)
{
	struct size before = {0, 0, 0, 0};

	for (unsigned i = 0; i < FORKS; i++) {
		size_t page = i * 7919 % page_count;
		pid_t pid = fork();

		if (pid < 0)
			return -errno;
		if (pid == 0) {
			for (size_t at = i % 16; at < page_count; at += 16)
				check_page(at, 0, "one of many children");
			page_write(memory, page, 5);
			_exit(0);
		}
		page_write(memory, page, 3);
		check_page(page, 3, "parent of many");
		page_write(memory, page, 0);
		if (wait_for_zero(pid, "one of many children"))
			give_up("one of many children");
		if (i == FORKS / 5)
			before = size_now();
	}
	check_growth(before, size_now());
	return 0;
}

/* ---- changed while they leave ---- */

#define CHANGING 10u /* in each round */

/*
 * Pages that a child has inherited get other flags from the processor when they are read and
 * written for the first time, while its own engine takes them out: the kernel then tries again to
 * move them (see docs/uffd.md), which went wrong. All is written in the order in which it leaves.
 */
static void change_all(void)
{
	for (uint64_t version = 1; version < 3; version++) {
		write_all(1, version);
		check_all(1, version, "child that changes all");
	}
}

int fork_changing_children(void)
{
	for (unsigned i = 0; i < CHANGING; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return -errno;
		if (pid == 0) {
			check_all(1, 0, "child, inherited");
			change_all();
			_exit(0);
		}
		if (wait_for_zero(pid, "child that changes all"))
			give_up("child that changes all");
	}
	return 0;
}
