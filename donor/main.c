/*
 * donord: lends this host's idle RAM. Opens what donor.h names in order of dependence, runs the
 * loop until a signal, and closes it all in reverse.
 */
#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/loop.h"
#include "donor/announce.h"
#include "donor/arena.h"
#include "donor/donor.h"
#include "donor/host.h"
#include "donor/lease.h"
#include "donor/options.h"
#include "donor/rdma.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EXIT_USAGE 2

/* How late an expiry or a rest may be noticed. */
#define SWEEP_MS 100

/*
 * How often free memory goes back to the host: a crowd of connections leaves tens of MiB, and the
 * allocator keeps them for as long as some small thing lives that was allocated last. A guess; it
 * takes microseconds when there is nothing to give.
 */
#define TRIM_MS 5000

/* After a signal, for clients to read that we stop; see LEAVING in session.h. Well under 2 s. */
#define STOP_MS 1000

/* Besides slabs and sessions: listeners, the door, the loop, logs. A generous guess. */
#define OTHER_DESCRIPTORS 512
/* Of a session: control, and data connections of two lanes. */
#define SESSION_DESCRIPTORS 3

/*
 * Leases of one slab beyond the first, on average: a process that forks has one for each child. The
 * table takes 150 bytes for each that is ever used.
 */
#define SHARES_A_SLAB 16u

/* The main loop's own things. */
struct running {
	struct donor donor;
	int signals; /* signalfd */
	struct loop_watch *signals_watch, *arena_watch;
	struct loop_timer *sweep, *trim, *stop;
};

/* ---- callbacks ---- */

static void stop_if_empty(struct donor *donor)
{
	if (donor->is_stopping && !donor_sessions_count(&donor->sessions))
		loop_stop(donor->loop);
}

static void sweep(void *arg)
{
	struct donor *donor = arg;
	uint64_t now = clock_ns();

	listeners_sweep(&donor->listeners);
	door_sweep(donor, now);
	lending_expire(donor, now);
	donor_sessions_sweep(donor, now);
	quiet_tell(&donor->strangers, now);
	quiet_tell(&donor->clients, now);
	stop_if_empty(donor);
}

static void trim(void *arg UNUSED)
{
	(void)malloc_trim(0);
}

static void slab_ready(void *arg, uint32_t events UNUSED)
{
	struct donor *donor = arg;

	arena_fd_clear(donor->arena);
	lending_go_on(donor);
	donor_sessions_settle(donor);
}

static void stop_waiting(void *arg)
{
	struct donor *donor = arg;

	loop_stop(donor->loop);
}

static void stop(struct running *running, unsigned signal)
{
	struct donor *donor = &running->donor;

	if (donor->is_stopping)
		return;
	donor->is_stopping = true;
	log_info("stopping: SIG%s, %u sessions, %u slabs lent", sigabbrev_np((int)signal),
		 donor->sessions.count[DONOR_SESSION_OPEN], lease_table_count(donor->leases));
	announce_stopping();
	listeners_close(&donor->listeners);
	door_close(donor);
	donor_sessions_stop(donor);
	if (loop_timer_start(donor->loop, STOP_MS, stop_waiting, donor, &running->stop))
		loop_stop(donor->loop);
	stop_if_empty(donor);
}

static void signal_ready(void *arg, uint32_t events UNUSED)
{
	struct running *running = arg;
	struct signalfd_siginfo info;

	if (read(running->signals, &info, sizeof(info)) == sizeof(info))
		stop(running, info.ssi_signo);
}

static int spin(void *arg)
{
	return tp_server_spin(arg);
}

/* ---- start ---- */

static void raise_descriptor_limit(const struct donor_options *options)
{
	uint64_t needed = OTHER_DESCRIPTORS + (uint64_t)options->slabs +
			  (uint64_t)options->max_sessions * SESSION_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max >= needed)
		return;
	log_warn("%llu descriptors are allowed and up to %llu are needed: raise the limit "
		 "(ulimit -n, LimitNOFILE=), or choose a larger --slab-size",
		 (unsigned long long)limit.rlim_max, (unsigned long long)needed);
}

/* Before the arena's worker starts, which must not take the signals. */
static int open_signals(struct running *running)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	running->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return running->signals < 0 ? -errno : 0;
}

static unsigned most_shares(unsigned slabs)
{
	return slabs < UINT32_MAX / 2 / SHARES_A_SLAB ? slabs * SHARES_A_SLAB : UINT32_MAX / 2;
}

static int open_memory(struct donor *donor)
{
	const struct donor_options *options = donor->options;
	const struct slab_kind kind = {options->slab_bytes, options->huge_pages,
				       options->numa_node};
	uint64_t first_key;
	int err;

	if (getrandom(&first_key, sizeof(first_key), 0) != sizeof(first_key))
		return -EIO;
	err = host_boot_id(donor->host_id);
	if (err)
		return err;
	err = lease_table_open(options->slabs, most_shares(options->slabs),
			       options->lease_ms * 1000000ull, first_key, &donor->leases);
	if (err)
		return err;
	return arena_open(&kind, options->slabs, &donor->arena);
}

static int open_servers(struct donor *donor)
{
	int err;

	err = tp_server_open(TP_SHM, donor->loop, donor_find_shm, donor, &donor->servers[TP_SHM]);
	if (err)
		return err;
	err = tp_server_open(TP_TCP, donor->loop, donor_find_tcp, donor, &donor->servers[TP_TCP]);
	if (err)
		return err;
	loop_set_idle(donor->loop, spin, donor->servers[TP_TCP]);
	return 0;
}

static int open_watches(struct running *running)
{
	struct donor *donor = &running->donor;
	int err;

	err = loop_watch(donor->loop, running->signals, POLLIN, signal_ready, running,
			 &running->signals_watch);
	if (err)
		return err;
	err = loop_watch(donor->loop, arena_fd(donor->arena), POLLIN, slab_ready, donor,
			 &running->arena_watch);
	if (err)
		return err;
	err = loop_timer_start(donor->loop, SWEEP_MS, sweep, donor, &running->sweep);
	if (err)
		return err;
	return loop_timer_start(donor->loop, TRIM_MS, trim, NULL, &running->trim);
}

static int open_loop(struct donor *donor, char *why)
{
	int err = loop_open(&donor->loop);

	if (err == -ENOSYS || err == -EPERM)
		snprintf(why, DONOR_WHY_BYTES,
			 "io_uring cannot be used here: %s: allow it (sysctl "
			 "kernel.io_uring_disabled=0, or the container's seccomp profile)",
			 strerror(-err));
	return err;
}

/* Whatever is open when it fails is closed by close_all(). */
static int open_all(struct running *running, char *why)
{
	struct donor *donor = &running->donor;
	int err;

	err = open_signals(running);
	if (err)
		return err;
	err = open_loop(donor, why);
	if (err)
		return err;
	err = open_memory(donor);
	if (err)
		return err;
	err = open_servers(donor);
	if (err)
		return err;
	err = open_watches(running);
	if (err)
		return err;
	err = listeners_open(donor, why);
	if (err)
		return err;
	return rdma_open(donor, why);
}

static void close_servers(struct donor *donor)
{
	loop_set_idle(donor->loop, NULL, NULL);
	for (unsigned kind = 0; kind < TP_KINDS; kind++) {
		if (donor->servers[kind])
			tp_server_close(donor->servers[kind]);
	}
}

/* What is NULL was not opened. */
static void close_all(struct running *running)
{
	struct donor *donor = &running->donor;

	listeners_close(&donor->listeners);
	door_close(donor);
	donor_sessions_close(donor);
	if (donor->loop) {
		close_servers(donor);
		loop_unwatch(running->signals_watch);
		loop_unwatch(running->arena_watch);
		loop_timer_cancel(running->sweep);
		loop_timer_cancel(running->trim);
		loop_timer_cancel(running->stop);
	}
	quiet_tell(&donor->strangers, UINT64_MAX);
	quiet_tell(&donor->clients, UINT64_MAX);
	arena_close(donor->arena);
	lease_table_close(donor->leases);
	loop_close(donor->loop);
	if (running->signals >= 0)
		close(running->signals);
}

static void init(struct running *running, const struct donor_options *options)
{
	struct donor *donor = &running->donor;

	memset(running, 0, sizeof(*running));
	running->signals = -1;
	donor->options = options;
	door_open(donor);
	donor_sessions_init(&donor->sessions);
	lending_init(&donor->lending);
	quiet_init(&donor->strangers, "strangers");
	quiet_init(&donor->clients, "clients");
}

/* Returns the exit status. */
static int serve(const struct donor_options *options)
{
	static struct running running;
	char why[DONOR_WHY_BYTES] = "";
	int err;

	init(&running, options);
	err = open_all(&running, why);
	if (err) {
		log_error("%s", *why ? why : strerror(-err));
		close_all(&running);
		return EXIT_FAILURE;
	}
	announce_ready(&running.donor);
	log_info("started: %u slabs of %llu MiB", options->slabs,
		 (unsigned long long)(options->slab_bytes >> 20));
	err = loop_run(running.donor.loop);
	if (err)
		log_error("the loop ended: %s", strerror(-err));
	close_all(&running);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct donor_options options;
	char why[DONOR_WHY_BYTES];

	log_set_name("donord");
	if (donor_options_parse(argc, argv, &options, why)) {
		log_error("%s", why);
		return EXIT_USAGE;
	}
	log_set_level(options.log_level);
	if (donor_options_check_host(&options, why)) {
		log_error("%s", why);
		return EXIT_USAGE;
	}
	raise_descriptor_limit(&options);
	/* Clients must not wait for whoever reads the log. */
	log_set_sink(log_write_or_drop, NULL);
	return serve(&options);
}
