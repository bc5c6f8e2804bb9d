/*
 * A program of one thread does what the kernel permits only to such: goes to another user
 * namespace. Then it makes memory, more than it may keep. What it sees is printed.
 *
 *   prog_alone MIB again|set|threads|late
 */
#include "common/base/compiler.h"
#include "tests/integration/give_up.h"
#include "tests/integration/must.h"
#include "tests/integration/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#define TIMES 8 /* user namespaces within each other; the kernel permits 32 */
#define TICK_US 200

static unsigned count_lines(const char *path)
{
	char line[512];
	unsigned n = 0;
	FILE *file = fopen(path, "re");

	must(file != NULL, path);
	while (fgets(line, sizeof(line), file))
		n += strchr(line, '\n') != NULL;
	fclose(file);
	return n;
}

static unsigned count_threads(void)
{
	struct stat tasks;

	must(stat("/proc/self/task", &tasks) == 0, "/proc/self/task");
	return (unsigned)tasks.st_nlink - 2;
}

static void write_all(uint64_t *memory, size_t pages, uint64_t version)
{
	for (size_t page = 0; page < pages; page++)
		page_write(memory, page, version);
}

static void fill(size_t pages)
{
	uint64_t *memory = map_at(NULL, pages, 0);

	for (unsigned round = 0; round < 2; round++) {
		write_all(memory, pages, round);
		for (size_t page = 0; page < pages; page++)
			if (page_first_wrong(memory, page, round) < PAGE_WORDS)
				give_up("page %zu is wrong", page);
	}
	pages_free(memory, pages);
	printf("all right\n");
}

/* ---- ways ---- */

static volatile sig_atomic_t ticks;

static void tick(int number UNUSED)
{
	ticks = ticks + 1;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0,
	     path);
}

/* Who is nobody there may not go further. */
static void go_to_new(void)
{
	unsigned user = getuid(), group = getgid();
	char map[64];

	errno = 0;
	must(unshare(CLONE_NEWUSER) == 0 && errno == 0, "unshare");
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", user, user);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", group, group);
	write_file("/proc/self/gid_map", map);
}

/* Nothing is left behind each time, and signals come through. */
static void again(void)
{
	const struct itimerval often = {{0, TICK_US}, {0, TICK_US}}, never = {{0, 0}, {0, 0}};
	const struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
	unsigned threads = count_threads(), mappings = 0;

	must(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	must(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
	for (int i = 0; i < TIMES; i++) {
		go_to_new();
		if (i == 1)
			mappings = count_lines("/proc/self/maps");
	}
	while (!ticks)
		pause();
	must(setitimer(ITIMER_REAL, &never, NULL) == 0, "setitimer");
	if (count_lines("/proc/self/maps") > mappings)
		give_up("%u mappings were %u", count_lines("/proc/self/maps"), mappings);
	printf("threads are as many as before: %d, signals came: %d\n", count_threads() == threads,
	       ticks > 0);
}

/* The child, which goes first, is forgotten with its process. */
static void set(void)
{
	char path[64], word;
	int fds[2], fd, status;
	pid_t pid;

	must(pipe(fds) == 0, "pipe");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		must(unshare(CLONE_NEWUSER) == 0, "unshare in a child");
		must(write(fds[1], "x", 1) == 1, "write");
		pause();
	}
	must(read(fds[0], &word, 1) == 1, "read");
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0, path);
	must(setns(fd, CLONE_NEWUSER) == 0, "setns");
	must(setns(fd, CLONE_NEWUSER) == -1 && errno == EINVAL, "setns to where it is");
	must(setns(fds[0], 0) == -1 && errno == EINVAL, "setns to a pipe");
	must(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid, "the child's end");
	printf("set\n");
}

static void *wait_for_ever(void *arg UNUSED)
{
	for (;;)
		pause();
	return NULL;
}

/* A thread of its own is in the way, as ever. */
static void threads(void)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0, "pthread_create");
	must(unshare(CLONE_NEWUSER) == -1 && errno == EINVAL, "unshare with two threads");
	must(unshare(-1) == -1 && errno == EINVAL, "unshare of what is not");
	printf("refused\n");
}

/* When it is large already. */
static void late(size_t pages)
{
	write_all(map_at(NULL, pages, 0), pages, 0);
	printf("late: %s\n", unshare(CLONE_NEWUSER) ? strerror(errno) : "let through");
}

int main(int argc, char **argv)
{
	size_t pages = argc == 3 ? (strtoull(argv[1], NULL, 10) << 20) / PAGE_BYTES : 0;

	if (!pages)
		give_up("usage: MIB again|set|threads|late");
	if (strcmp(argv[2], "again") == 0)
		again();
	else if (strcmp(argv[2], "set") == 0)
		set();
	else if (strcmp(argv[2], "late") == 0)
		late(pages);
	else
		threads();
	fill(pages);
	return 0;
}
