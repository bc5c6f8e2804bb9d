/* Who is at the other end of a connection, for log lines. Pure questions to the kernel. */
#ifndef DONOR_PEER_H
#define DONOR_PEER_H

#include <stdint.h>
#include <sys/socket.h>

#define PEER_TEXT_BYTES 72

/* "10.0.0.3:4242", "[::1]:4242", or "local process 1234". Returns out. */
const char *peer_text(int fd, char out[PEER_TEXT_BYTES]);

/* "127.0.0.1:7471" or "[::1]:7471". Returns out. */
const char *peer_address_text(const struct sockaddr_storage *address, char out[PEER_TEXT_BYTES]);

/* The port of this end, 0 for a Unix socket. */
uint16_t peer_own_port(int fd);

#endif
