/*
 * Fills memory with a pattern, waits until part of it is out, makes processes in every way there
 * is, and lets parent and child check and change what they have: neither may see what the other
 * wrote, and neither a wrong byte. Ends with 0 and one line for each way.
 *
 *   prog_fork MIB WAY...      WAY: fork, _Fork, clone, clone_changes, clone_clones, clone_forks,
 *                             vfork, system, popen, posix_spawn, daemon, quiet, twice, threads,
 *                             many, changing
 *
 * A way that libpager refuses (ENOMEM) counts as refused, which is said; a wrong byte is not
 * refused.
 */
#include "common/base/clock.h"
#include "tests/integration/children.h"
#include "tests/integration/fork.h"
#include "tests/integration/must.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 2 /* of each way: the second meets what the first has left */
#define WAIT_NS 30000000000u
#define MAX_PAGES (1u << 20)

uint64_t *memory;
size_t page_count;

static void say_process(void)
{
	fprintf(stderr, "process %d: ", getpid());
}

/* ---- the pattern ---- */

void check_page(size_t page, uint64_t version, const char *who)
{
	unsigned word = page_first_wrong(memory, page, version);
	char story[PAGE_STORY_BYTES];

	if (UNLIKELY(word < PAGE_WORDS))
		give_up("%s: %s", who, page_story(memory, page, word, version, story));
}

void write_all(size_t step, uint64_t version)
{
	size_t page;

	for (page = 0; page < page_count; page += step)
		page_write(memory, page, version);
}

/* Every step-th page has `version`, the others 0. */
void check_all(size_t step, uint64_t version, const char *who)
{
	size_t page;

	for (page = 0; page < page_count; page++)
		check_page(page, page % step ? 0 : version, who);
}

/* What a child does: it changes a third of what it has inherited. */
void live_as_child(void)
{
	check_all(1, 0, "child, inherited");
	write_all(3, 7);
	check_all(3, 7, "child, changed");
}

/* What a parent does meanwhile: it changes half. Afterwards all is as before. */
void live_as_parent(pid_t child)
{
	write_all(2, 9);
	check_all(2, 9, "parent, changed");
	child_await(child, "child");
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

int split(pid_t pid)
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

int wait_for_zero(pid_t pid, const char *what)
{
	child_await(pid, what);
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

static const struct {
	const char *name;
	int (*run)(void);
} ways[] = {
	{"fork", by_fork},
	{"_Fork", fork_by_plain_fork},
	{"clone", fork_by_clone},
	{"clone_changes", fork_by_clone_and_change},
	{"clone_clones", fork_by_clone_and_clone},
	{"clone_forks", fork_by_clone_and_fork},
	{"vfork", by_vfork},
	{"system", by_system},
	{"popen", by_popen},
	{"posix_spawn", by_posix_spawn},
	{"daemon", by_daemon},
	{"quiet", by_quiet_fork},
	{"twice", by_fork_twice},
	{"threads", fork_with_threads},
	{"many", fork_many},
	{"changing", fork_changing_children},
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
	memory = map_at(NULL, page_count, 0);
	write_all(1, 0);
	wait_until_out();
	for (i = 2; i < argc; i++)
		run(argv[i]);
	return 0;
}
