#include "donor/listen.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/loop.h"
#include "donor/donor.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Accepted in one turn: the clients that are in have their turn, too. */
#define ACCEPTS_PER_TURN 64
#define BACKLOG 1024

/*
 * The kernel ends a killed program's io_uring, and with it the polls that hold its listening
 * sockets, a moment after the program: whoever restarts a donord at once must not fail for that.
 */
#define IN_USE_NS 1000000000ull
#define IN_USE_RETRY_MS 20

/* A client's host that vanished without a word is noticed within about half a minute. */
#define KEEPALIVE_IDLE_S 10
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES 3

/* ---- accepting ---- */

static void set_option(int fd, int level, int name, int value)
{
	/* Each only makes things better; a kernel that refuses one is not worth a word. */
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		return;
}

static void prepare_tcp(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

static void watch_all(struct listeners *listeners, uint32_t events)
{
	for (unsigned i = 0; i < listeners->count; i++) {
		if (loop_rewatch(listeners->each[i].watch, events))
			log_error("cannot watch %s any more", listeners->each[i].text);
	}
}

static void rest(struct donor *donor, int err)
{
	quiet_line(&donor->strangers, clock_ns(), LOG_WARN, "no connection accepted for now: %s",
		   strerror(-err));
	donor->listeners.is_resting = true;
	watch_all(&donor->listeners, 0);
}

/* 0 to go on, or a negative errno: no more for this turn. */
static int accept_one(struct listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (!listener->is_local)
		prepare_tcp(fd);
	door_take(listener->donor, fd, listener->is_local);
	return 0;
}

static bool is_shortage(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOBUFS || err == -ENOMEM;
}

static void listener_ready(void *arg, uint32_t events UNUSED)
{
	struct listener *listener = arg;
	int err;

	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		err = accept_one(listener);
		if (is_shortage(err)) {
			rest(listener->donor, err);
			return;
		}
		if (err == -EAGAIN)
			return;
		/* Anything else is about one connection, which is gone. */
	}
}

void listeners_sweep(struct listeners *listeners)
{
	if (!listeners->is_resting)
		return;
	listeners->is_resting = false;
	watch_all(listeners, POLLIN);
}

/* ---- opening ---- */

static int explain(const struct donor_address *address, int err, char *why)
{
	const char *hint = "choose another address with --listen";

	if (err == -EADDRINUSE)
		hint = "end the program that has it, or choose another port with --listen";
	if (err == -EACCES)
		hint = "choose a port above 1023 with --listen";
	snprintf(why, DONOR_WHY_BYTES, "cannot listen on %s:%u: %s: %s", address->host,
		 address->port, strerror(-err), hint);
	return err;
}

static int bind_tcp(const struct addrinfo *info, int *out)
{
	int fd, err;

	if (FAULT_POINT())
		return -EMFILE;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (info->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, info->ai_addr, info->ai_addrlen)) {
		err = -errno;
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

/* Without a host the IPv6 wildcard is tried first: it takes IPv4, too. */
static int resolve(const struct donor_address *address, int family, struct addrinfo **out)
{
	const struct addrinfo hints = {
		.ai_family = family,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	char port[8];

	snprintf(port, sizeof(port), "%u", address->port);
	return getaddrinfo(address->host[0] ? address->host : NULL, port, &hints, out);
}

static int bind_first(const struct donor_address *address, int family, int *out, char *why)
{
	struct addrinfo *all;
	int err = resolve(address, family, &all);

	if (err) {
		snprintf(why, DONOR_WHY_BYTES,
			 "cannot listen on %s:%u: %s: give an address of this host with --listen",
			 address->host, address->port, gai_strerror(err));
		return -EADDRNOTAVAIL;
	}
	for (const struct addrinfo *info = all; info; info = info->ai_next) {
		err = bind_tcp(info, out);
		if (!err)
			break;
	}
	freeaddrinfo(all);
	return err ? explain(address, err, why) : 0;
}

static int bind_address(const struct donor_address *address, int *out, char *why)
{
	if (!address->host[0] && bind_first(address, AF_INET6, out, why) == 0)
		return 0;
	return bind_first(address, address->host[0] ? AF_UNSPEC : AF_INET, out, why);
}

/* Takes fd. */
static int add(struct donor *donor, int fd, bool is_local, char *why)
{
	struct listeners *listeners = &donor->listeners;
	struct listener *listener = &listeners->each[listeners->count];
	int err;

	listener->donor = donor;
	listener->fd = fd;
	listener->is_local = is_local;
	if (FAULT_POINT())
		err = -EADDRINUSE;
	else
		err = listen(fd, BACKLOG) ? -errno : 0;
	if (!err)
		err = loop_watch(donor->loop, fd, POLLIN, listener_ready, listener,
				 &listener->watch);
	if (err) {
		snprintf(why, DONOR_WHY_BYTES, "cannot listen: %s", strerror(-err));
		close(fd);
		return err;
	}
	listeners->count++;
	return 0;
}

static int open_tcp(struct donor *donor, const struct donor_address *address, char *why)
{
	struct listeners *listeners = &donor->listeners;
	struct sockaddr_storage bound = {0};
	socklen_t len = sizeof(bound);
	int fd, err;

	err = bind_address(address, &fd, why);
	if (err)
		return err;
	err = add(donor, fd, false, why);
	if (err)
		return err == -EADDRINUSE ? explain(address, err, why) : err;
	if (getsockname(fd, (struct sockaddr *)&bound, &len))
		return -errno;
	peer_address_text(&bound, listeners->each[listeners->count - 1].text);
	if (!listeners->tcp_port)
		listeners->tcp_port = peer_own_port(fd);
	return 0;
}

static int open_local(struct donor *donor, char *why)
{
	struct listeners *listeners = &donor->listeners;
	char path[WIRE_PATH_BYTES];
	struct stat st;
	int fd, err;

	err = listen_local_path(donor->options, listeners->tcp_port, path, why);
	if (err)
		return err;
	if (!path[0]) {
		snprintf(why, DONOR_WHY_BYTES,
			 "no Unix socket: neither /run nor XDG_RUNTIME_DIR can be used: give "
			 "--local-socket PATH, or none");
		return -ENOENT;
	}
	err = listen_bind_local(path, &fd, why);
	if (err)
		return err;
	strcpy(listeners->each[listeners->count].text, path);
	err = add(donor, fd, true, why);
	if (err) {
		unlink(path);
		return err;
	}
	strcpy(listeners->local_path, path);
	listeners->local_inode = lstat(path, &st) ? 0 : st.st_ino;
	return 0;
}

/* NULL: the Unix socket. */
static int open_patiently(struct donor *donor, const struct donor_address *address, char *why)
{
	uint64_t deadline = clock_ns() + IN_USE_NS;
	int err;

	for (;;) {
		err = address ? open_tcp(donor, address, why) : open_local(donor, why);
		if (err != -EADDRINUSE || clock_ns() >= deadline)
			return err;
		poll(NULL, 0, IN_USE_RETRY_MS);
	}
}

/* A socket that nobody asked for may be missing, as long as there is another way in. */
static int open_local_if_wanted(struct donor *donor, char *why)
{
	const struct donor_options *options = donor->options;
	int err;

	if (options->local == DONOR_LOCAL_NONE)
		return 0;
	err = open_patiently(donor, NULL, why);
	if (!err || options->local == DONOR_LOCAL_PATH || !donor->listeners.count)
		return err;
	log_warn("%s", why);
	return 0;
}

int listeners_open(struct donor *donor, char why[DONOR_WHY_BYTES])
{
	const struct donor_options *options = donor->options;
	int err;

	for (unsigned i = 0; i < options->listen_count; i++) {
		err = open_patiently(donor, &options->listen[i], why);
		if (err)
			goto err_close;
	}
	err = open_local_if_wanted(donor, why);
	if (err)
		goto err_close;
	return 0;

err_close:
	listeners_close(&donor->listeners);
	return err;
}

static void remove_socket(struct listeners *listeners)
{
	struct stat st;

	if (!listeners->local_path[0])
		return;
	if (lstat(listeners->local_path, &st) == 0 && st.st_ino == listeners->local_inode)
		unlink(listeners->local_path);
	listeners->local_path[0] = '\0';
}

void listeners_close(struct listeners *listeners)
{
	for (unsigned i = 0; i < listeners->count; i++) {
		loop_unwatch(listeners->each[i].watch);
		close(listeners->each[i].fd);
	}
	listeners->count = 0;
	remove_socket(listeners);
}
