/*
 * Fills memory with a pattern, waits until part of it is out, makes processes in every way there
 * is, and lets parent and child check and change what they have: neither may see what the other
 * wrote, and neither a wrong byte. Ends with 0 and one line for each way.
 *
 *   prog_fork MIB WAY...      WAY: fork, _Fork, clone, clone_changes, vfork, system, popen,
 *                             posix_spawn, daemon, quiet, twice, threads, many, changing
 *
 * A way that libpager refuses (ENOMEM) counts as refused, which is said; a wrong byte is not
 * refused.
 */
#include "common/base/clock.h"
#include "tests/integration/give_up.h"
#include "tests/integration/pages.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 2 /* of each way: the second meets what the first has left */
#define WAIT_NS 30000000000u
#define MAX_PAGES (1u << 20)

static uint64_t *memory;
static size_t page_count;

static void say_process(void)
{
	fprintf(stderr, "process %d: ", getpid());
}

/* ---- the pattern ---- */

static void check_page(size_t page, uint64_t version, const char *who)
{
	unsigned word = page_first_wrong(memory, page, version);
	char story[PAGE_STORY_BYTES];

	if (UNLIKELY(word < PAGE_WORDS))
		give_up("%s: %s", who, page_story(memory, page, word, version, story));
}

static void write_all(size_t step, uint64_t version)
{
	size_t page;

	for (page = 0; page < page_count; page += step)
		page_write(memory, page, version);
}

/* Every step-th page has `version`, the others 0. */
static void check_all(size_t step, uint64_t version, const char *who)
{
	size_t page;

	for (page = 0; page < page_count; page++)
		check_page(page, page % step ? 0 : version, who);
}

/* What a child does: it changes a third of what it has inherited. */
static void live_as_child(void)
{
	check_all(1, 0, "child, inherited");
	write_all(3, 7);
	check_all(3, 7, "child, changed");
}

/* What a parent does meanwhile: it changes half. Afterwards all is as before. */
static void live_as_parent(pid_t child)
{
	int status;

	write_all(2, 9);
	check_all(2, 9, "parent, changed");
	if (waitpid(child, &status, 0) != child || status)
		give_up("child %d ended with wait status %#x", child, (unsigned)status);
	check_all(2, 9, "parent, after its child");
	write_all(2, 0);
}

/* ---- until it is out ---- */

static size_t count_present(void)
{
	static unsigned char present[MAX_PAGES];
	size_t page, n = 0;

	if (mincore(memory, page_count * PAGE_BYTES, present))
		give_up("mincore: %s", strerror(errno));
	for (page = 0; page < page_count; page++)
		n += present[page] & 1;
	return n;
}

/* Donors are still being connected when the memory is full, and all could be over before. */
static void wait_until_out(void)
{
	uint64_t deadline = clock_ns() + WAIT_NS;

	while (count_present() > page_count / 4 * 3) {
		if (clock_ns() > deadline)
			give_up("%zu of %zu pages are still here", count_present(), page_count);
		usleep(1000);
	}
}

/* ---- ways: each returns 0, or a negative errno if it is refused ---- */

static int split(pid_t pid)
{
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		live_as_child();
		_exit(0);
	}
	live_as_parent(pid);
	return 0;
}

static int by_fork(void)
{
	return split(fork());
}

static int wait_for_zero(pid_t pid, const char *what)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		give_up("%s ended with wait status %#x", what, (unsigned)status);
	check_all(1, 0, "parent, after a command");
	return 0;
}

/* Nobody writes afterwards: what the child had stays shared until the engine sees to it. */
static int by_quiet_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		check_all(1, 0, "child, inherited");
		_exit(0);
	}
	return wait_for_zero(pid, "the child");
}

static int by_plain_fork(void)
{
	return split(_Fork());
}

/* Past the C library and everything in front of it. */
static int by_clone(void)
{
	return split((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

/* Each a part that the others leave alone. */
static void change_map(void)
{
	size_t part = page_count / 6;
	char *at = (char *)memory, *moved;

	if (munmap(at, part * PAGE_BYTES) ||
	    madvise(at + part * PAGE_BYTES, part * PAGE_BYTES, MADV_DONTNEED))
		give_up("child: %s", strerror(errno));
	moved = mremap(at + 2 * part * PAGE_BYTES, part * PAGE_BYTES, part * PAGE_BYTES,
		       MREMAP_MAYMOVE | MREMAP_FIXED, at);
	if (moved != at)
		give_up("child: mremap: %s", strerror(errno));
	moved = mmap(at + 3 * part * PAGE_BYTES, part * PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (moved == MAP_FAILED)
		give_up("child: mmap: %s", strerror(errno));
}

static void check_changed_map(void)
{
	size_t part = page_count / 6, page;

	for (page = 0; page < part; page++) /* from what was the third part */
		for (unsigned word = 0; word < PAGE_WORDS; word++)
			if (memory[page * PAGE_WORDS + word] != page_word(2 * part + page, word, 0))
				give_up("child: moved page %zu word %u is %#llx", page, word,
					(unsigned long long)memory[page * PAGE_WORDS + word]);
	for (page = part; page < 2 * part; page++)
		if (page_count_wrong(memory, page, 0) != PAGE_WORDS || memory[page * PAGE_WORDS])
			give_up("child: dropped page %zu is not zeros", page);
	for (page = 3 * part; page < 4 * part; page++)
		if (memory[page * PAGE_WORDS] || memory[(page + 1) * PAGE_WORDS - 1])
			give_up("child: page %zu of another mapping is not zeros", page);
	for (page = 4 * part; page < page_count; page++)
		check_page(page, 0, "child, beside what it changed");
}

/* While its parent's engine fills its memory it changes the map. */
static int by_clone_and_change(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		change_map();
		check_changed_map();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		give_up("child %d ended with wait status %#x", pid, (unsigned)status);
	check_all(1, 0, "parent, after its child");
	return 0;
}

static int by_vfork(void)
{
	pid_t pid = vfork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	return wait_for_zero(pid, "/bin/true");
}

static int by_system(void)
{
	int status = system("/bin/true && test 1 -eq 1");

	if (status < 0)
		return -errno;
	if (status)
		give_up("system: wait status %#x", (unsigned)status);
	check_all(1, 0, "parent, after system");
	return 0;
}

static int by_popen(void)
{
	FILE *pipe = popen("echo right", "r");
	char line[16] = "";

	if (!pipe)
		return -errno;
	if (!fgets(line, sizeof(line), pipe) || strcmp(line, "right\n") || pclose(pipe))
		give_up("popen: %s", line);
	check_all(1, 0, "parent, after popen");
	return 0;
}

static int by_posix_spawn(void)
{
	char *argv[] = {"true", NULL};
	pid_t pid;
	int err;

	err = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);
	if (err)
		return -err;
	return wait_for_zero(pid, "/bin/true");
}

/* The grandchild is nobody's child: a pipe that ends without a word tells of its end. */
static void live_as_daemon(int out)
{
	if (daemon(1, 1))
		give_up("daemon: %s", strerror(errno));
	live_as_child();
	if (write(out, "right", 5) != 5)
		give_up("pipe: %s", strerror(errno));
	_exit(0);
}

static int by_daemon(void)
{
	char word[8] = "";
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		give_up("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		live_as_daemon(fds[1]);
	close(fds[1]);
	live_as_parent(pid);
	if (read(fds[0], word, sizeof(word)) != 5 || strcmp(word, "right"))
		give_up("the daemon did not end well");
	close(fds[0]);
	return 0;
}

/* A child that forks when it, too, has memory out. */
static int by_fork_twice(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		check_all(1, 0, "child, inherited");
		if (by_fork())
			give_up("a child cannot fork: %s", strerror(errno));
		_exit(0);
	}
	live_as_parent(pid);
	return 0;
}

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

static int by_fork_with_threads(void)
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
static int by_many_forks(void)
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

static int by_changing_children(void)
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

static const struct {
	const char *name;
	int (*run)(void);
} ways[] = {
	{"fork", by_fork},	  {"_Fork", by_plain_fork},
	{"clone", by_clone},	  {"clone_changes", by_clone_and_change},
	{"vfork", by_vfork},	  {"system", by_system},
	{"popen", by_popen},	  {"posix_spawn", by_posix_spawn},
	{"daemon", by_daemon},	  {"quiet", by_quiet_fork},
	{"twice", by_fork_twice}, {"threads", by_fork_with_threads},
	{"many", by_many_forks},  {"changing", by_changing_children},
};

static void run(const char *name)
{
	unsigned round;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_LEN(ways) && strcmp(ways[i].name, name); i++)
		;
	if (i == ARRAY_LEN(ways))
		give_up("%s is no way to make a process", name);
	for (round = 0; round < ROUNDS; round++) {
		/* So that pages are out in any case. */
		check_all(1, 0, "before");
		err = ways[i].run();
		if (err && err != -ENOMEM)
			give_up("%s: %s", name, strerror(-err));
	}
	check_all(1, 0, "afterwards");
	wait_until_out(); /* what the child had a share in, too */
	printf("%s %s\n", name, err ? "refused" : "right");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int i;

	give_up_first = say_process;
	if (argc < 3)
		give_up("usage: prog_fork MIB WAY...");
	page_count = (strtoull(argv[1], NULL, 10) << 20) / PAGE_BYTES;
	if (page_count > MAX_PAGES)
		give_up("%s MiB are too many", argv[1]);
	memory = mmap(NULL, page_count * PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		give_up("mmap: %s", strerror(errno));
	write_all(1, 0);
	wait_until_out();
	for (i = 2; i < argc; i++)
		run(argv[i]);
	return 0;
}
