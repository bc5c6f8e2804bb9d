#include "common/transport/dial.h"

#include "common/base/clock.h"
#include "common/transport/frame.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * A donor's host that vanishes is noticed in 5 s: sent bytes are not acknowledged for that long, or
 * on a connection at rest three probes go unanswered. Well under the 10 s after which the donor
 * would end the lease anyway, well over the second or two that a busy switch may take.
 */
#define VANISHED_MS 5000
#define PROBE_AFTER_S 2
#define PROBE_EVERY_S 1
#define PROBES 3

int dial_wait(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd pfd = {.fd = fd, .events = events};
	uint64_t now;
	int n;

	do {
		now = clock_ns();
		if (now >= deadline_ns)
			return -ETIMEDOUT;
		n = poll(&pfd, 1, (int)((deadline_ns - now) / 1000000u) + 1);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

int dial_send(int fd, const void *bytes, size_t len, uint64_t deadline_ns)
{
	const uint8_t *at = bytes;
	ssize_t n;
	int err;

	while (len > 0) {
		n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno == EPIPE ? -ECONNRESET : -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		err = dial_wait(fd, POLLOUT, deadline_ns);
		if (err)
			return err;
	}
	return 0;
}

int dial_receive(int fd, void *bytes, size_t len, uint64_t deadline_ns)
{
	uint8_t *at = bytes;
	ssize_t n;
	int err;

	while (len > 0) {
		n = recv(fd, at, len, MSG_DONTWAIT);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		err = dial_wait(fd, POLLIN, deadline_ns);
		if (err)
			return err;
	}
	return 0;
}

int dial_hello(int fd, uint32_t magic, const uint8_t token[TP_TOKEN_BYTES], uint64_t deadline_ns)
{
	struct frame_hello hello = {.version = FRAME_VERSION};
	uint8_t out[FRAME_HELLO_BYTES], in[FRAME_WELCOME_BYTES];
	int err;

	memcpy(hello.token, token, TP_TOKEN_BYTES);
	frame_hello_encode(magic, &hello, out);
	err = dial_send(fd, out, sizeof(out), deadline_ns);
	if (err)
		return err;
	err = dial_receive(fd, in, sizeof(in), deadline_ns);
	if (err)
		return err;
	return frame_welcome_decode(magic, in);
}

/* The result of a connect() that was under way. */
static int finish_connect(int fd, uint64_t deadline_ns)
{
	socklen_t len = sizeof(int);
	int problem, err;

	err = dial_wait(fd, POLLOUT, deadline_ns);
	if (err)
		return err;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) < 0)
		return -errno;
	return -problem;
}

static int tune(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, VANISHED_MS},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, PROBE_AFTER_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EVERY_S},
		{IPPROTO_TCP, TCP_KEEPCNT, PROBES},
	};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(options); i++) {
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(int)) < 0)
			return -errno;
	}
	return 0;
}

static socklen_t address_bytes(const struct sockaddr *address)
{
	return address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}

int dial_address(const struct sockaddr *address, uint64_t deadline_ns, int *out)
{
	int fd, err;

	fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	err = tune(fd);
	if (err)
		goto err_close;
	err = connect(fd, address, address_bytes(address)) < 0 ? -errno : 0;
	if (err == -EINPROGRESS)
		err = finish_connect(fd, deadline_ns);
	if (err)
		goto err_close;
	*out = fd;
	return 0;

err_close:
	close(fd);
	return err;
}

static unsigned count_addresses(const struct addrinfo *list)
{
	unsigned n;

	for (n = 0; list; list = list->ai_next)
		n++;
	return n;
}

int dial_tcp(const char *host, uint16_t port, uint64_t deadline_ns, int *out)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list, *address;
	uint64_t now, share;
	char service[8];
	unsigned left;
	int err;

	snprintf(service, sizeof(service), "%u", (unsigned)port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		return -EHOSTUNREACH;
	err = -EHOSTUNREACH;
	left = count_addresses(list);
	for (address = list; address; address = address->ai_next, left--) {
		/* One silent address must not use up the time of the others. */
		now = clock_ns();
		share = now < deadline_ns ? (deadline_ns - now) / left : 0;
		err = dial_address(address->ai_addr, now + share, out);
		if (!err)
			break;
	}
	freeaddrinfo(list);
	return err;
}

/* A Unix socket whose backlog is full says EAGAIN and cannot be waited for (connect(2)). */
static int connect_unix(int fd, const struct sockaddr_un *address, uint64_t deadline_ns)
{
	while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (clock_ns() >= deadline_ns)
			return -ETIMEDOUT;
		usleep(1000);
	}
	return 0;
}

int dial_unix(const char *path, uint64_t deadline_ns, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = connect_unix(fd, &address, deadline_ns);
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}
