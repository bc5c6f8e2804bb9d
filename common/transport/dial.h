/*
 * How a client gets to a data connection that the donor has welcomed: addresses, connecting, hello.
 * Everything here may block until the deadline (clock_ns()) and is not for the fault path. The
 * descriptors that come out are non-blocking and close-on-exec.
 */
#ifndef COMMON_TRANSPORT_DIAL_H
#define COMMON_TRANSPORT_DIAL_H

#include "common/transport/transport.h"

#include <stddef.h>

/* IPv4 or IPv6, with its port. Allocates nothing. */
int dial_address(const struct sockaddr *address, uint64_t deadline_ns, int *out) MUST_CHECK;

/* Tries every address of the name in turn. -EHOSTUNREACH if it has none. */
int dial_tcp(const char *host, uint16_t port, uint64_t deadline_ns, int *out) MUST_CHECK;
int dial_unix(const char *path, uint64_t deadline_ns, int *out) MUST_CHECK;

/* Says hello and waits for the welcome. -EACCES: no such token. */
int dial_hello(int fd, uint32_t magic, const uint8_t token[TP_TOKEN_BYTES],
	       uint64_t deadline_ns) MUST_CHECK;

/* All of it or an error. -ETIMEDOUT, -ECONNRESET at the end of the stream. */
int dial_send(int fd, const void *bytes, size_t len, uint64_t deadline_ns) MUST_CHECK;
int dial_receive(int fd, void *bytes, size_t len, uint64_t deadline_ns) MUST_CHECK;

/* Waits for poll(2) events until the deadline: 0 or -ETIMEDOUT. */
int dial_wait(int fd, short events, uint64_t deadline_ns) MUST_CHECK;

#endif
