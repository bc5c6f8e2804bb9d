/*
 * Fills memory, then treats its descriptors as daemons and shells do: closes all there are, in one
 * of the ways to do that, or puts a file of its own in the place of each. Opens files and a pipe,
 * which take the numbers that were freed, works on the memory for a while, forks, and checks all:
 * memory, the files, the pipe, in itself and in the child.
 *
 *   prog_descriptors WAY MIB ROUNDS DIR
 *
 * WAY: close, close_range, closefrom, raw, list, dup2, none. What it has to say is in DIR/result,
 * since it may have no standard output any more: "begun" when the files are open, "right" at the
 * end. Ends with 0 if all was right.
 */
#include "tests/integration/pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NUMBERS 1024 /* that a program closes which does not know which are open */
#define PATIENCE_MS 15000u
#define FILES 24 /* more than an engine could have open */

static const char *dir;
static uint64_t *memory;
static size_t page_count;

static struct {
	int fd;
	char text[64];
} files[FILES];
static int pipe_fds[2];

static void say(const char *text)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/result", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(2);
	close(fd);
}

static NORETURN PRINTF_LIKE(1, 2) void give_up(const char *fmt, ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, args);
	va_end(args);
	strcat(text, "\n");
	say(text);
	_exit(1);
}

/* ---- memory ---- */

static void write_all(uint64_t version)
{
	for (size_t page = 0; page < page_count; page++)
		page_write(memory, page, version);
}

static void check_all(uint64_t version, const char *who)
{
	char story[PAGE_STORY_BYTES];

	for (size_t page = 0; page < page_count; page++) {
		unsigned word = page_first_wrong(memory, page, version);

		if (word < PAGE_WORDS)
			give_up("%s: %s", who, page_story(memory, page, word, version, story));
	}
}

/* ---- ways to lose descriptors ---- */

static void by_close(void)
{
	for (int fd = 0; fd < NUMBERS; fd++)
		close(fd);
}

static void by_close_range(void)
{
	if (close_range(0, ~0u, 0))
		give_up("close_range: %s", strerror(errno));
}

static void by_closefrom(void)
{
	closefrom(0);
}

/* Past the C library and whatever is in front of it. */
static void by_raw_calls(void)
{
	for (int fd = 0; fd < NUMBERS; fd++)
		syscall(SYS_close, fd);
}

static void by_list(void)
{
	DIR *list = opendir("/proc/self/fd");
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != dirfd(list))
			close(fd);
	}
	if (!list || closedir(list))
		give_up("/proc/self/fd: %s", strerror(errno));
}

/* A shell's exec 5>file, for every number. */
static void by_dup2(void)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/over", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	for (int over = 0; over < NUMBERS; over++)
		if (dup2(fd, over) < 0)
			give_up("dup2 to %d: %s", over, strerror(errno));
	if (close_range(FILES, ~0u, 0))
		give_up("close_range: %s", strerror(errno));
}

static void by_nothing(void)
{
}

static const struct {
	const char *name;
	void (*lose)(void);
} ways[] = {
	{"close", by_close},	     {"close_range", by_close_range},
	{"closefrom", by_closefrom}, {"raw", by_raw_calls},
	{"list", by_list},	     {"dup2", by_dup2},
	{"none", by_nothing},
};

static void lose_descriptors(const char *way)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (strcmp(ways[i].name, way))
			continue;
		ways[i].lose();
		return;
	}
	give_up("%s is no way", way);
}

/* ---- files in their place ---- */

static void open_files(void)
{
	char path[4096];

	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/file%d", dir, i);
		snprintf(files[i].text, sizeof(files[i].text), "content of file %d\n", i);
		files[i].fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
		if (files[i].fd < 0 || write(files[i].fd, files[i].text, strlen(files[i].text)) < 0)
			give_up("%s: %s", path, strerror(errno));
	}
	if (pipe(pipe_fds) || write(pipe_fds[1], "in the pipe", 11) != 11)
		give_up("pipe: %s", strerror(errno));
}

static void check_files(const char *who)
{
	char text[4096];

	for (int i = 0; i < FILES; i++) {
		ssize_t n = pread(files[i].fd, text, sizeof(text), 0);

		if (n < 0 || (size_t)n != strlen(files[i].text) ||
		    memcmp(text, files[i].text, (size_t)n))
			give_up("%s: file %d, descriptor %d, has %zd bytes: %.*s", who, i,
				files[i].fd, n, n > 100 ? 100 : (int)(n > 0 ? n : 0), text);
	}
}

/* Nobody but us may have written to what is in the place of every number. */
static void check_over(void)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/over", dir);
	if (stat(path, &st) == 0 && st.st_size)
		give_up("somebody has written %lld bytes to our file", (long long)st.st_size);
}

static uint64_t resident_kib(void)
{
	char text[4096] = "";
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	const char *line = n > 0 ? strstr(text, "RssAnon:") : NULL;
	uint64_t kib = line ? strtoull(line + strlen("RssAnon:"), NULL, 10) : UINT64_MAX;

	close(fd);
	return kib;
}

/* Is it paged still, or merely right? At first donors are still being connected. */
static void check_resident(void)
{
	uint64_t kib;

	for (unsigned ms = 0; (kib = resident_kib()) > page_count * PAGE_BYTES / 1024 / 4 * 3;
	     ms++) {
		if (ms == PATIENCE_MS)
			give_up("%llu KiB are resident", (unsigned long long)kib);
		usleep(1000);
	}
}

static void check_pipe(void)
{
	char text[4096];
	ssize_t n = read(pipe_fds[0], text, sizeof(text));

	if (n != 11 || memcmp(text, "in the pipe", 11))
		give_up("the pipe had %zd bytes", n);
}

/* ---- the whole ---- */

static void fork_and_check(uint64_t version)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		give_up("fork: %s", strerror(errno));
	if (pid == 0) {
		check_all(version, "child");
		write_all(version + 1);
		check_all(version + 1, "child, changed");
		check_files("child");
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		give_up("the child ended with wait status %#x", (unsigned)status);
}

int main(int argc, char **argv)
{
	const struct rlimit numbers = {NUMBERS, NUMBERS};
	uint64_t version, rounds;

	if (argc != 5)
		return 2;
	rounds = strtoull(argv[3], NULL, 10);
	dir = argv[4];
	page_count = (strtoull(argv[2], NULL, 10) << 20) / PAGE_BYTES;
	memory = mmap(NULL, page_count * PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || setrlimit(RLIMIT_NOFILE, &numbers))
		give_up("cannot begin: %s", strerror(errno));
	write_all(0);
	lose_descriptors(argv[1]);
	open_files();
	say("begun\n");
	check_all(0, "first look");
	for (version = 1; version <= rounds; version++) {
		write_all(version);
		check_all(version, "parent");
	}
	check_resident();
	fork_and_check(rounds);
	check_all(rounds, "parent, after its child");
	check_files("parent");
	check_pipe();
	check_over();
	say("right\n");
	return 0;
}
