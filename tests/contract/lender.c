#include "tests/contract/lender.h"

#include "common/base/compiler.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

/* $(O)/tests/contract/test_X and $(O)/donord. */
static const char *program(void)
{
	static char path[4096];
	const char *given = getenv("DONORD");
	ssize_t len;
	int up;

	if (given)
		return given;
	len = readlink("/proc/self/exe", path, sizeof(path) - 16);
	if (len < 0)
		die("readlink");
	path[len] = '\0';
	for (up = 0; up < 3; up++)
		*strrchr(path, '/') = '\0';
	return strcat(path, "/donord");
}

static void exec_donord(const struct lender *lender, const struct lender_options *options)
{
	char listen[32];
	const char *args[16] = {program(), "--log", "warn", "--listen", listen};
	unsigned n = 5;

	snprintf(listen, sizeof(listen), "127.0.0.1:%u", options->port);
	args[n++] = "--local-socket";
	args[n++] = options->is_remote ? "none" : lender->path;
	args[n++] = "--size";
	args[n++] = options->size ? options->size : "64M";
	args[n++] = "--slab-size";
	args[n++] = options->slab ? options->slab : "1M";
	if (options->lease) {
		args[n++] = "--lease";
		args[n++] = options->lease;
	}
	if (options->renew) {
		args[n++] = "--renew";
		args[n++] = options->renew;
	}
	unsetenv("LIBPAGER_FAIL_AT"); /* faults are the test's, not the donor's */
	execv(args[0], (char *const *)args);
	perror(args[0]);
	_exit(127);
}

/* "donord ready: 64 MiB in 64 slabs on 127.0.0.1:40123 and /tmp/x/sock" */
static void await_ready(struct lender *lender, int fd)
{
	FILE *out = fdopen(fd, "r");
	char line[512] = "", *at;

	if (!out || !fgets(line, sizeof(line), out))
		die("donord does not get ready");
	at = strstr(line, "127.0.0.1:");
	if (!at)
		die(line);
	lender->port = (uint16_t)atoi(at + 10);
	fclose(out);
}

/* Directories of donors that are not stopped yet: a test that fails leaves early. */
static char left[64][sizeof(((struct lender *)0)->dir)];

static void remove_dir(const char *dir)
{
	char path[sizeof(((struct lender *)0)->path)];

	snprintf(path, sizeof(path), "%.63s/sock", dir);
	unlink(path);
	rmdir(dir);
}

static void remove_left(void)
{
	unsigned i;

	for (i = 0; i < ARRAY_LEN(left); i++) {
		if (left[i][0])
			remove_dir(left[i]);
	}
}

/* Puts `to` in the place of `from` in the list. */
static void note_dir(const char *from, const char *to)
{
	static bool is_prepared;
	unsigned i;

	if (!is_prepared)
		is_prepared = atexit(remove_left) == 0;
	for (i = 0; i < ARRAY_LEN(left); i++) {
		if (strcmp(left[i], from) == 0) {
			strcpy(left[i], to);
			return;
		}
	}
}

void lender_start(struct lender *lender, const struct lender_options *options)
{
	int out[2];

	memset(lender, 0, sizeof(*lender));
	strcpy(lender->dir, "/tmp/lender.XXXXXX");
	if (!mkdtemp(lender->dir) || pipe(out))
		die("mkdtemp");
	note_dir("", lender->dir);
	snprintf(lender->path, sizeof(lender->path), "%s/sock", lender->dir);
	lender->pid = fork();
	if (lender->pid < 0)
		die("fork");
	if (lender->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		exec_donord(lender, options);
	}
	close(out[1]);
	await_ready(lender, out[0]);
	snprintf(lender->address, sizeof(lender->address), "127.0.0.1:%u", lender->port);
	snprintf(lender->local, sizeof(lender->local), "unix:%s", lender->path);
}

void lender_signal(struct lender *lender, int signal)
{
	kill(lender->pid, signal);
	if (signal == SIGKILL) {
		waitpid(lender->pid, NULL, 0);
		lender->pid = 0;
	}
}

void lender_stop(struct lender *lender)
{
	if (lender->pid)
		lender_signal(lender, SIGKILL);
	remove_dir(lender->dir);
	note_dir(lender->dir, "");
}

uint16_t lender_free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		die("no free port");
	close(fd);
	return ntohs(address.sin_port);
}
