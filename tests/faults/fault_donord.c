/*
 * donord from start to SIGTERM, with a client that borrows over shm and then over tcp. Faults are
 * donord's: it is the one built beside this program. Whatever it cannot do it has to say or to
 * survive; it always ends in order when asked to.
 */
#include "common/base/clock.h"
#include "pager/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_PER_MS 1000000u
#define TICK_NS (2 * NS_PER_MS)
#define PAGES 8u

struct donord {
	pid_t pid;
	char dir[64], socket[96], unix_address[128], tcp_address[64];
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* $(O)/tests/faults/fault_donord and $(O)/donord. */
static const char *program(void)
{
	static char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 16);

	if (len < 0)
		die("readlink");
	path[len] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(path, '/') = '\0';
	return strcat(path, "/donord");
}

static _Noreturn void exec_donord(const struct donord *donord, int out)
{
	dup2(out, STDOUT_FILENO);
	execl(program(), "donord", "--size", "4M", "--slab-size", "1M", "--listen", "127.0.0.1:0",
	      "--local-socket", donord->socket, (char *)NULL);
	perror("donord");
	_exit(127);
}

/* "donord ready: ... on 127.0.0.1:PORT and SOCKET"; nothing at all if a fault keeps it from that.
 */
static bool read_address(struct donord *donord, int fd)
{
	FILE *out = fdopen(fd, "r");
	char line[512], *address;
	bool found = false;

	if (!out)
		die("fdopen");
	if (fgets(line, sizeof(line), out)) {
		address = strstr(line, "127.0.0.1:");
		found = address && sscanf(address, "%63s", donord->tcp_address) == 1;
	}
	fclose(out);
	return found;
}

static bool start(struct donord *donord)
{
	int out[2];

	strcpy(donord->dir, "/tmp/fault-donord.XXXXXX");
	if (!mkdtemp(donord->dir) || pipe(out))
		die("mkdtemp");
	snprintf(donord->socket, sizeof(donord->socket), "%s/sock", donord->dir);
	snprintf(donord->unix_address, sizeof(donord->unix_address), "unix:%s", donord->socket);
	donord->pid = fork();
	if (donord->pid < 0)
		die("fork");
	if (donord->pid == 0) {
		close(out[0]);
		exec_donord(donord, out[1]);
	}
	unsetenv("LIBPAGER_FAIL_AT"); /* this process is to have none */
	close(out[1]);
	return read_address(donord, out[0]);
}

/* Ends it in order. Its status is 0, or 1 with a line that says why; all else is a mistake. */
static int stop(struct donord *donord)
{
	int status;

	kill(donord->pid, SIGTERM);
	if (waitpid(donord->pid, &status, 0) != donord->pid)
		die("waitpid");
	unlink(donord->socket);
	rmdir(donord->dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) <= EXIT_FAILURE)
		return EXIT_SUCCESS;
	fprintf(stderr, "donord ended with wait status %#x\n", (unsigned)status);
	return EXIT_FAILURE;
}

static void lost(void *arg, const char *donor, const char *why)
{
	(void)arg;
	fprintf(stderr, "lost %s: %s\n", donor, why);
}

/* Ticks until there are slots, for at most a second. */
static unsigned take(struct store *store, uint32_t *slots)
{
	uint64_t end = clock_ns() + 1000ull * NS_PER_MS;
	unsigned n = 0;

	while (n == 0 && clock_ns() < end) {
		store_tick(store);
		n = store_slots_take(store, PAGES, slots);
		usleep(TICK_NS / 1000);
	}
	return n;
}

/* Writes a page to each slot, one at a time; gives up as soon as one does not complete. */
static void write_all(struct store *store, const uint32_t *slots, unsigned n)
{
	static char page[PAGE_BYTES];

	for (unsigned i = 0; i < n; i++) {
		struct store_io io = {.slot = slots[i], .count = 1, .buffer = page};
		uint64_t end = clock_ns() + 1000ull * NS_PER_MS;
		struct store_done done;

		if (store_post(store, STORE_WRITES, &io, 1) != 1)
			return;
		while (store_poll(store, STORE_WRITES, &done, 1) == 0) {
			if (clock_ns() > end)
				die("a write does not complete");
		}
		if (done.status)
			return;
	}
}

static void borrow(const char *address, enum config_transport transport)
{
	const struct store_events events = {.lost = lost};
	static struct config config;
	char why[CONFIG_WHY_BYTES];
	uint32_t slots[PAGES];
	struct store *store;
	int err;

	config_init(&config);
	config.transport = transport;
	if (config_add_donors(&config, address, why))
		die(why);
	store = NULL;
	err = store_open(&config, &events, 1000, &store);
	if (err)
		fprintf(stderr, "%s: %s\n", address, strerror(-err));
	if (!store)
		return;
	write_all(store, slots, take(store, slots));
	store_close(store);
}

int main(void)
{
	struct donord donord;

	if (start(&donord)) {
		borrow(donord.unix_address, CONFIG_SHM);
		borrow(donord.tcp_address, CONFIG_TCP);
	}
	return stop(&donord);
}
