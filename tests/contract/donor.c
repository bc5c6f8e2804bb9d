#include "tests/contract/donor.h"

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/transport/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct slab {
	int memfd;
	uint8_t *base;
};

/* Something to be done on the loop's thread. */
struct order {
	void (*run)(struct donor *donor, const struct order *order);
	unsigned domain, slab;
	struct tp_server_stats *stats;
	sem_t done;
};

/* What the serving thread or process tells. */
struct report {
	sem_t ready;
	uint16_t port;
	struct tp_remote remotes[DONOR_DOMAINS][DONOR_SLABS];
};

struct donor {
	enum tp_kind kind;
	enum donor_place place;
	char dir[32], path[64];
	struct report *report; /* shared with the process */
	int listener;
	int orders[2]; /* pipe of struct order *, NULL to stop */
	pthread_t thread;
	pid_t pid;
	struct slab slabs[DONOR_DOMAINS][DONOR_SLABS];
	/* of the loop's thread */
	struct loop *loop;
	struct tp_server *server;
	struct tp_domain *domains[DONOR_DOMAINS];
};

#define MUST(cond)                                                                           \
	do {                                                                                 \
		if (!(cond)) {                                                               \
			fprintf(stderr, "contract donor: %s: %s\n", #cond, strerror(errno)); \
			abort();                                                             \
		}                                                                            \
	} while (0)

static uint64_t key_of(unsigned domain, unsigned slab)
{
	return 1000u * (domain + 1) + slab;
}

static void token_of(unsigned domain, uint8_t token[TP_TOKEN_BYTES])
{
	memset(token, (int)(0xa0 + domain), TP_TOKEN_BYTES);
}

/* ---- on the loop's thread ---- */

static struct tp_domain *find(void *arg, const uint8_t token[TP_TOKEN_BYTES])
{
	struct donor *donor = arg;
	uint8_t known[TP_TOKEN_BYTES];
	unsigned i;

	for (i = 0; i < DONOR_DOMAINS; i++) {
		token_of(i, known);
		if (memcmp(token, known, TP_TOKEN_BYTES) == 0)
			return donor->domains[i];
	}
	return NULL;
}

static void accept_all(void *arg, uint32_t events UNUSED)
{
	struct donor *donor = arg;
	int fd;

	while ((fd = accept4(donor->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		MUST(tp_server_take(donor->server, fd) == 0);
}

static void take_order(void *arg, uint32_t events UNUSED)
{
	struct donor *donor = arg;
	struct order *order;

	MUST(read(donor->orders[0], &order, sizeof(order)) == sizeof(order));
	if (!order) {
		loop_stop(donor->loop);
		return;
	}
	order->run(donor, order);
	sem_post(&order->done);
}

static int idle(void *arg)
{
	return tp_server_spin(arg);
}

static void export_all(struct donor *donor, unsigned domain)
{
	struct tp_remote *remotes = donor->report->remotes[domain];
	unsigned i;

	MUST(tp_domain_open(donor->server, &donor->domains[domain]) == 0);
	for (i = 0; i < DONOR_SLABS; i++) {
		const struct tp_export memory = {
			.key = key_of(domain, i),
			.base = donor->slabs[domain][i].base,
			.bytes = DONOR_SLAB_BYTES,
			.memfd = donor->slabs[domain][i].memfd,
		};

		MUST(tp_domain_export(donor->domains[domain], &memory, &remotes[i]) == 0);
	}
}

static void let_in(struct donor *donor, struct loop_watch **accepting)
{
	if (donor->kind == TP_VERBS)
		MUST(tp_server_listen(donor->server, donor_rdma_host(), 0, &donor->report->port) ==
		     0);
	else
		MUST(loop_watch(donor->loop, donor->listener, POLLIN, accept_all, donor,
				accepting) == 0);
}

static void *serve(void *arg)
{
	struct donor *donor = arg;
	struct loop_watch *accepting = NULL, *ordering;
	unsigned i;

	MUST(loop_open(&donor->loop) == 0);
	MUST(tp_server_open(donor->kind, donor->loop, find, donor, &donor->server) == 0);
	let_in(donor, &accepting);
	loop_set_idle(donor->loop, idle, donor->server);
	for (i = 0; i < DONOR_DOMAINS; i++)
		export_all(donor, i);
	MUST(loop_watch(donor->loop, donor->orders[0], POLLIN, take_order, donor, &ordering) == 0);
	sem_post(&donor->report->ready);
	MUST(loop_run(donor->loop) == 0);
	loop_unwatch(ordering);
	loop_unwatch(accepting);
	for (i = 0; i < DONOR_DOMAINS; i++)
		tp_domain_close(donor->domains[i]);
	tp_server_close(donor->server);
	loop_close(donor->loop);
	return NULL;
}

/* ---- orders ---- */

static void give(struct donor *donor, struct order *order)
{
	MUST(donor->place == DONOR_THREAD);
	MUST(sem_init(&order->done, 0, 0) == 0);
	MUST(write(donor->orders[1], &order, sizeof(order)) == sizeof(order));
	while (sem_wait(&order->done) < 0)
		MUST(errno == EINTR);
	sem_destroy(&order->done);
}

static void run_revoke(struct donor *donor, const struct order *order)
{
	tp_domain_revoke(donor->domains[order->domain], key_of(order->domain, order->slab));
}

void donor_revoke(struct donor *donor, unsigned domain, unsigned slab)
{
	struct order order = {.run = run_revoke, .domain = domain, .slab = slab};

	give(donor, &order);
}

static void run_cut(struct donor *donor, const struct order *order)
{
	tp_domain_cut(donor->domains[order->domain]);
}

void donor_cut(struct donor *donor, unsigned domain)
{
	struct order order = {.run = run_cut, .domain = domain};

	give(donor, &order);
}

static void run_close(struct donor *donor, const struct order *order)
{
	tp_domain_close(donor->domains[order->domain]);
	donor->domains[order->domain] = NULL;
}

void donor_close_domain(struct donor *donor, unsigned domain)
{
	struct order order = {.run = run_close, .domain = domain};

	give(donor, &order);
}

static void run_stats(struct donor *donor, const struct order *order)
{
	tp_server_stats(donor->server, order->stats);
}

struct tp_server_stats donor_stats(struct donor *donor)
{
	struct tp_server_stats stats;
	struct order order = {.run = run_stats, .stats = &stats};

	give(donor, &order);
	return stats;
}

uint64_t donor_cpu_ns(const struct donor *donor)
{
	struct timespec used;
	clockid_t clock;

	MUST(pthread_getcpuclockid(donor->thread, &clock) == 0);
	MUST(clock_gettime(clock, &used) == 0);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* ---- start and stop ---- */

static void slab_make(struct slab *slab)
{
	slab->memfd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	MUST(slab->memfd >= 0);
	MUST(ftruncate(slab->memfd, (off_t)DONOR_SLAB_BYTES) == 0);
	MUST(fcntl(slab->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	slab->base =
		mmap(NULL, DONOR_SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, slab->memfd, 0);
	MUST(slab->base != MAP_FAILED);
}

static void listen_tcp(struct donor *donor)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	donor->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	MUST(donor->listener >= 0);
	MUST(bind(donor->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	MUST(getsockname(donor->listener, (struct sockaddr *)&address, &len) == 0);
	donor->report->port = ntohs(address.sin_port);
	MUST(listen(donor->listener, 128) == 0);
}

static void listen_unix(struct donor *donor)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, donor->path);
	donor->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	MUST(donor->listener >= 0);
	MUST(bind(donor->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	MUST(listen(donor->listener, 128) == 0);
}

static void close_listener(struct donor *donor)
{
	if (donor->listener >= 0)
		close(donor->listener);
}

static void start_process(struct donor *donor)
{
	donor->pid = fork();
	MUST(donor->pid >= 0);
	if (donor->pid == 0) {
		/* However the parent ends, this ends too. */
		MUST(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		close(donor->orders[1]);
		serve(donor);
		_exit(0);
	}
	close_listener(donor);
	close(donor->orders[0]);
}

static void report_make(struct donor *donor)
{
	donor->report = mmap(NULL, sizeof(*donor->report), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(donor->report != MAP_FAILED);
	MUST(sem_init(&donor->report->ready, 1, 0) == 0);
}

/* Ends a test that hangs: longer than any of them takes under a sanitizer. */
#define WATCHDOG_S 240

struct donor *donor_start(enum tp_kind kind, enum donor_place place)
{
	struct donor *donor = calloc(1, sizeof(*donor));
	unsigned i;

	MUST(donor);
	alarm(WATCHDOG_S);
	donor->kind = kind;
	donor->place = place;
	strcpy(donor->dir, "/tmp/contract-XXXXXX");
	MUST(mkdtemp(donor->dir));
	snprintf(donor->path, sizeof(donor->path), "%s/sock", donor->dir);
	for (i = 0; i < DONOR_DOMAINS * DONOR_SLABS; i++)
		slab_make(&donor->slabs[i / DONOR_SLABS][i % DONOR_SLABS]);
	report_make(donor);
	donor->listener = -1;
	if (kind == TP_SHM)
		listen_unix(donor);
	else if (kind == TP_TCP)
		listen_tcp(donor);
	MUST(pipe2(donor->orders, O_CLOEXEC) == 0);
	if (place == DONOR_PROCESS)
		start_process(donor);
	else
		MUST(pthread_create(&donor->thread, NULL, serve, donor) == 0);
	while (sem_wait(&donor->report->ready) < 0)
		MUST(errno == EINTR);
	return donor;
}

pid_t donor_pid(const struct donor *donor)
{
	return donor->pid;
}

void donor_signal(struct donor *donor, int signal)
{
	MUST(donor->place == DONOR_PROCESS);
	MUST(kill(donor->pid, signal) == 0);
}

static void stop_thread(struct donor *donor)
{
	struct order *stop = NULL;

	MUST(write(donor->orders[1], &stop, sizeof(stop)) == sizeof(stop));
	MUST(pthread_join(donor->thread, NULL) == 0);
	close_listener(donor);
	close(donor->orders[0]);
}

void donor_stop(struct donor *donor)
{
	unsigned i;

	if (donor->place == DONOR_PROCESS) {
		kill(donor->pid, SIGKILL);
		MUST(waitpid(donor->pid, NULL, 0) == donor->pid);
	} else {
		stop_thread(donor);
	}
	close(donor->orders[1]);
	for (i = 0; i < DONOR_DOMAINS * DONOR_SLABS; i++) {
		struct slab *slab = &donor->slabs[i / DONOR_SLABS][i % DONOR_SLABS];

		munmap(slab->base, DONOR_SLAB_BYTES);
		close(slab->memfd);
	}
	munmap(donor->report, sizeof(*donor->report));
	unlink(donor->path);
	rmdir(donor->dir);
	alarm(0);
	free(donor);
}

/* ---- for clients ---- */

struct tp_target donor_target(const struct donor *donor, unsigned domain)
{
	struct tp_target target = {
		.host = donor->kind == TP_VERBS ? donor_rdma_host() : "127.0.0.1",
		.port = donor->report->port,
		.path = donor->path,
	};

	token_of(domain, target.token);
	return target;
}

struct tp_remote donor_remote(const struct donor *donor, unsigned domain, unsigned slab)
{
	return donor->report->remotes[domain][slab];
}

uint8_t *donor_memory(const struct donor *donor, unsigned domain, unsigned slab)
{
	return donor->slabs[domain][slab].base;
}

uint8_t donor_peek(const struct donor *donor, unsigned domain, unsigned slab)
{
	uint8_t byte;

	MUST(pread(donor->slabs[domain][slab].memfd, &byte, 1, 0) == 1);
	return byte;
}

int donor_dial(const struct donor *donor)
{
	uint64_t deadline = clock_ns() + 2000000000u;
	int fd;

	if (donor->kind == TP_SHM)
		MUST(dial_unix(donor->path, deadline, &fd) == 0);
	else
		MUST(dial_tcp("127.0.0.1", donor->report->port, deadline, &fd) == 0);
	return fd;
}
