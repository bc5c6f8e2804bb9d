#include "tests/integration/system_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- what the kernel answers, into a struct ---- */

static struct timespec begun;

/* Calls that answer the same whenever they are asked. */
static void ask_names(void)
{
	struct utsname here;
	struct piece piece = piece_out_struct(sizeof(here));

	must(!uname(&here) && !uname((struct utsname *)(void *)piece.at), "uname");
	piece_must_have(&piece, &here);
}

static void ask_stat(void)
{
	struct stat here;
	struct piece piece = piece_out_struct(sizeof(here));

	must(!stat("/", &here) && syscall(SYS_newfstatat, AT_FDCWD, "/", piece.at, 0) == 0, "stat");
	piece_must_have(&piece, &here);
}

static void ask_limit(void)
{
	struct rlimit here;
	struct piece piece = piece_out_struct(sizeof(here));

	must(!getrlimit(RLIMIT_NOFILE, &here) &&
		     !getrlimit(RLIMIT_NOFILE, (struct rlimit *)(void *)piece.at),
	     "getrlimit");
	piece_must_have(&piece, &here);
}

static void ask_cpus(void)
{
	unsigned long here[128];
	struct piece piece = piece_out_struct(sizeof(here));
	long n = syscall(SYS_sched_getaffinity, 0, sizeof(here), here);

	must(n > 0 && syscall(SYS_sched_getaffinity, 0, sizeof(here), piece.at) == n,
	     "sched_getaffinity");
	piece.len = (size_t)n;
	piece_must_have(&piece, here);
}

static void ask_thread_name(void)
{
	char here[16] = "";
	struct piece piece = piece_out_struct(sizeof(here));

	must(!prctl(PR_GET_NAME, here) && !prctl(PR_GET_NAME, piece.at), "PR_GET_NAME");
	piece_must_have(&piece, here);
}

static void ask_where(void)
{
	char here[512];
	long len = syscall(SYS_getcwd, here, sizeof(here));
	struct piece piece = piece_out_struct((size_t)len);

	must(len > 0 && syscall(SYS_getcwd, piece.at, piece.len) == len, "getcwd");
	piece_must_have(&piece, here);
}

/* Two new descriptors, which must be the lowest that are free, as before. */
static void ask_pipe(void)
{
	int here[2];
	struct piece piece = piece_out_struct(sizeof(here));

	must(!pipe(here) && !close(here[0]) && !close(here[1]), "pipe");
	must(!syscall(SYS_pipe2, piece.at, 0), "pipe2");
	piece_must_have(&piece, here);
	must(!close(here[0]) && !close(here[1]), "close");
}

/* By the kernel, not by what it lends the C library for that. */
static void ask_clock(void)
{
	struct timespec now;
	struct piece piece = piece_out_struct(sizeof(now));

	must(!syscall(SYS_clock_gettime, CLOCK_MONOTONIC, piece.at), "clock_gettime");
	piece_adopt(&piece);
	memcpy(&now, piece.at, sizeof(now));
	must(now.tv_sec >= begun.tv_sec && now.tv_sec < begun.tv_sec + 3600 &&
		     now.tv_nsec < 1000000000,
	     "the time");
}

/* The kernel reads how long from one page that is out. */
static void ask_sleep(void)
{
	struct timespec *request = borrow(sizeof(*request));

	*request = (struct timespec){0, 1000};
	wait_until_out(request, sizeof(*request));
	must(!syscall(SYS_nanosleep, request, NULL), "nanosleep");
}

int way_results(void)
{
	must(!clock_gettime(CLOCK_MONOTONIC, &begun), "clock_gettime");
	for (unsigned i = 0; i < rounds; i++) {
		ask_names();
		ask_stat();
		ask_limit();
		ask_cpus();
		ask_thread_name();
		ask_where();
		ask_pipe();
		ask_clock();
	}
	ask_sleep();
	return 0;
}

/* ---- directories ---- */

/* Between two names the kernel leaves bytes as they were. */
int way_directory(void)
{
	static char here[2 * PAGE_BYTES];
	int fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(fd >= 0, "open");
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece;
		long len;

		do
			piece = piece_out();
		while (piece.len < sizeof(here));
		piece.len = sizeof(here);
		memcpy(here, piece.holds, sizeof(here));
		must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
		len = syscall(SYS_getdents64, fd, here, sizeof(here));
		must(len > 0 && lseek(fd, 0, SEEK_SET) == 0, "getdents to what is here");
		must(syscall(SYS_getdents64, fd, piece.at, piece.len) == len, "getdents");
		piece_must_have(&piece, here);
	}
	close(fd);
	return 0;
}

/* ---- random numbers: that they have come is all that can be said ---- */

static size_t count_alike(const char *a, const char *b, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += a[i] == b[i];
	return n;
}

int way_random(void)
{
	static char zeros[PIECE_BYTES];

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();

		must(getrandom(piece.at, piece.len, 0) == (ssize_t)piece.len, "getrandom");
		must(count_alike(piece.at, piece.holds, piece.len) < piece.len / 64 + 32,
		     "what was there is there still");
		must(count_alike(piece.at, zeros, piece.len) < piece.len / 64 + 32, "zeros");
		piece_adopt(&piece);
	}
	return 0;
}

/* ---- arrays that are read and written ---- */

int way_poll(void)
{
	struct pollfd *polled = borrow(sizeof(*polled));
	fd_set *selected = borrow(sizeof(*selected));
	struct timeval *time = borrow(sizeof(*time));
	struct epoll_event here = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int fds[2];

	must(!pipe2(fds, O_CLOEXEC) && write(fds[1], "x", 1) == 1, "pipe");
	must(!epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &here), "epoll_ctl");
	*polled = (struct pollfd){.fd = fds[0], .events = POLLIN};
	FD_ZERO(selected);
	FD_SET(fds[0], selected);
	*time = (struct timeval){1, 0};
	wait_until_out(polled, sizeof(*polled));
	wait_until_out(selected, sizeof(*selected));
	wait_until_out(time, sizeof(*time));
	must(poll(polled, 1, -1) == 1 && polled->revents == POLLIN && polled->fd == fds[0], "poll");
	must(syscall(SYS_select, fds[0] + 1, selected, NULL, NULL, time) == 1, "select");
	must(FD_ISSET(fds[0], selected) && !FD_ISSET(fds[1], selected), "what select said");
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out_struct(sizeof(here));

		must(epoll_wait(epoll, (struct epoll_event *)(void *)piece.at, 1, -1) == 1,
		     "epoll_wait");
		piece_must_have(&piece, &here);
	}
	close(epoll);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* ---- advice that changes no byte ---- */

int way_advice(void)
{
	static const int advice[] = {MADV_NORMAL,   MADV_RANDOM,	MADV_SEQUENTIAL,
				     MADV_WILLNEED, MADV_COLD,		MADV_PAGEOUT,
				     MADV_DONTDUMP, MADV_DODUMP,	MADV_POPULATE_READ,
				     MADV_NORMAL,   MADV_POPULATE_WRITE};

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out_whole();
		int way = advice[i % ARRAY_LEN(advice)];

		must(!madvise(piece.at, piece.len, way), "madvise");
		piece_must_be(&piece, piece.at);
		piece = piece_out_whole();
		must(!mlock(piece.at, piece.len), "mlock");
		piece_must_be(&piece, piece.at);
		must(!munlock(piece.at, piece.len), "munlock");
		/* The kernel writes what mincore(2) tells of one to another. */
		piece = piece_out_struct(1);
		must(!mincore(piece.at - (uintptr_t)piece.at % PAGE_BYTES, 1,
			      (unsigned char *)piece.at),
		     "mincore");
		piece_adopt(&piece);
	}
	return 0;
}

/* ---- programs started with arguments and an environment that are out ---- */

#define WORD_BYTES 100000u /* less than MAX_ARG_STRLEN */

static char *make_word(void)
{
	char *word = borrow(WORD_BYTES + 1);

	for (unsigned i = 0; i < WORD_BYTES; i++)
		word[i] = (char)('a' + (i * 7 + i / 4096) % 26);
	word[1] = '='; /* so that it can be a variable */
	word[WORD_BYTES] = '\0';
	return word;
}

typedef pid_t start_fn(char *path, char **argv, char **envp, int out);

/* The child of a vfork may do nothing but this, so its standard output is ours for the time. */
static pid_t by_vfork(char *path, char **argv, char **envp, int out)
{
	int ours = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	pid_t pid;

	must(ours >= 0 && dup2(out, STDOUT_FILENO) == STDOUT_FILENO, "dup2");
	pid = vfork();
	if (pid == 0) {
		execve(path, argv, envp);
		_exit(127);
	}
	must(dup2(ours, STDOUT_FILENO) == STDOUT_FILENO && !close(ours), "dup2");
	return pid;
}

static pid_t by_posix_spawn(char *path, char **argv, char **envp, int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	errno = posix_spawn(&pid, path, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	return errno ? -1 : pid;
}

/* All comes home first, but it must come home right. */
static pid_t by_fork(char *path, char **argv, char **envp, int out)
{
	pid_t pid = fork();

	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		execve(path, argv, envp);
		_exit(127);
	}
	return pid;
}

static void must_say(int fd, const char *wanted)
{
	static char said[WORD_BYTES + 2];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, said + len, sizeof(said) - len)) > 0)
		len += (size_t)n;
	must(len == WORD_BYTES + 1 && memcmp(said, wanted, WORD_BYTES) == 0,
	     "what the command had");
}

/* The command says its one argument, or its one variable. */
static void start_with_word(start_fn *start, const char *command, bool in_environment)
{
	char *path = borrow(PAGE_BYTES), *word = make_word();
	char **lists = borrow(PAGE_BYTES);
	char *wanted = plain_memory(WORD_BYTES);
	int fds[2], status;
	pid_t pid;

	memcpy(wanted, word, WORD_BYTES);
	snprintf(path, PAGE_BYTES, "%s", command);
	lists[0] = path;
	lists[1] = in_environment ? NULL : word;
	lists[2] = in_environment ? word : NULL;
	lists[3] = NULL;
	wait_until_out(path, PAGE_BYTES);
	wait_until_out(word, WORD_BYTES);
	wait_until_out(lists, PAGE_BYTES);
	must(!pipe2(fds, O_CLOEXEC), "pipe");
	pid = start(path, lists, lists + (in_environment ? 2 : 3), fds[1]);
	must(pid > 0, "a process");
	close(fds[1]);
	must_say(fds[0], wanted);
	close(fds[0]);
	must(waitpid(pid, &status, 0) == pid && status == 0, "the command");
}

int way_arguments(void)
{
	start_with_word(by_vfork, "/bin/echo", false);
	start_with_word(by_posix_spawn, "/usr/bin/env", true);
	start_with_word(by_fork, "/bin/echo", false);
	return 0;
}
