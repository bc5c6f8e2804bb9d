/*
 * A long wire: what comes to the ports of one loopback address goes to the same ports of another,
 * and back, each byte so much later, however many are on their way.
 *
 *   prog_relay MICROSECONDS LISTEN TARGET PORT...     until it is ended
 *
 * Says "relay ready" when it listens. A connection ends when both its ends have.
 */
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "tests/integration/give_up.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES 65536u
#define CHUNKS 1024u /* on their way in one direction; then the sender waits */

struct chunk {
	uint64_t due_ns;
	size_t bytes; /* 0: the end */
	char *data;
};

/* One direction of a connection, with a thread at each end. */
struct wire {
	int from, to;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct chunk chunks[CHUNKS];
	unsigned head, tail;
};

static uint64_t delay_ns;
static const char *listen_at, *target;

static void put(struct wire *wire, struct chunk chunk)
{
	pthread_mutex_lock(&wire->lock);
	while (wire->head - wire->tail == CHUNKS)
		pthread_cond_wait(&wire->changed, &wire->lock);
	wire->chunks[wire->head++ % CHUNKS] = chunk;
	pthread_cond_broadcast(&wire->changed);
	pthread_mutex_unlock(&wire->lock);
}

static struct chunk take(struct wire *wire)
{
	struct chunk chunk;

	pthread_mutex_lock(&wire->lock);
	while (wire->head == wire->tail)
		pthread_cond_wait(&wire->changed, &wire->lock);
	chunk = wire->chunks[wire->tail++ % CHUNKS];
	pthread_cond_broadcast(&wire->changed);
	pthread_mutex_unlock(&wire->lock);
	return chunk;
}

static void *receive(void *arg)
{
	struct wire *wire = arg;
	ssize_t n;

	do {
		char *data = malloc(CHUNK_BYTES);

		if (!data)
			give_up("no memory for a chunk");
		n = recv(wire->from, data, CHUNK_BYTES, 0);
		put(wire, (struct chunk){clock_ns() + delay_ns, n > 0 ? (size_t)n : 0, data});
	} while (n > 0);
	return NULL;
}

static void send_all(int to, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = send(to, data, bytes, MSG_NOSIGNAL);

		if (n <= 0) /* its end has been seen, or will be */
			return;
		data += n;
		bytes -= (size_t)n;
	}
}

static void *forward(void *arg)
{
	struct wire *wire = arg;
	struct chunk chunk;

	do {
		struct timespec due;

		chunk = take(wire);
		due = (struct timespec){.tv_sec = (time_t)(chunk.due_ns / 1000000000u),
					.tv_nsec = (long)(chunk.due_ns % 1000000000u)};
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
			;
		send_all(wire->to, chunk.data, chunk.bytes);
		free(chunk.data);
	} while (chunk.bytes);
	shutdown(wire->to, SHUT_WR);
	return NULL;
}

static void run(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, arg) || pthread_detach(thread))
		give_up("cannot start a thread");
}

static void lay(int from, int to)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	int one = 1;

	if (!wire)
		give_up("no memory for a wire");
	wire->from = from;
	wire->to = to;
	pthread_mutex_init(&wire->lock, NULL);
	pthread_cond_init(&wire->changed, NULL);
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	run(receive, wire);
	run(forward, wire);
}

static struct sockaddr_in address_of(const char *host, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || !address.sin_port)
		give_up("not an address: %s port %s", host, port);
	return address;
}

static int listen_on(const char *port)
{
	struct sockaddr_in address = address_of(listen_at, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		give_up("cannot listen on %s:%s: %s", listen_at, port, strerror(errno));
	return fd;
}

struct door {
	int fd;
	struct sockaddr_in to;
};

static void *accept_all(void *arg)
{
	const struct door *door = arg;
	int near, far;

	while ((near = accept(door->fd, NULL, NULL)) >= 0) {
		far = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(far, (const struct sockaddr *)&door->to, sizeof(door->to))) {
			close(near);
			close(far);
			continue;
		}
		lay(near, far);
		lay(far, near);
	}
	give_up("cannot accept: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	if (argc < 5)
		give_up("usage: MICROSECONDS LISTEN TARGET PORT...");
	delay_ns = strtoull(argv[1], NULL, 10) * 1000;
	listen_at = argv[2];
	target = argv[3];
	for (int i = 4; i < argc; i++) {
		struct door *door = malloc(sizeof(*door));

		if (!door)
			give_up("no memory for a door");
		*door = (struct door){listen_on(argv[i]), address_of(target, argv[i])};
		run(accept_all, door);
	}
	puts("relay ready");
	fflush(stdout);
	for (;;)
		pause();
}
