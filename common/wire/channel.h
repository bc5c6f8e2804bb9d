/*
 * Frames over a stream socket, with a bounded buffer each way. Used non-blocking by donord and by
 * the engine's control thread; one thread per channel. Knows nothing of what the messages mean.
 */
#ifndef COMMON_WIRE_CHANNEL_H
#define COMMON_WIRE_CHANNEL_H

#include "common/wire/wire.h"

#include <stdbool.h>

struct channel {
	int fd; /* owned */
	size_t in_len, out_len;
	uint8_t in[WIRE_MAX_FRAME];
	uint8_t out[4 * WIRE_MAX_FRAME];
};

/* Takes fd and makes it non-blocking. */
void channel_open(struct channel *channel, int fd);
void channel_close(struct channel *channel);

/*
 * Queues a message and sends what the socket takes. -ENOBUFS if the peer does not read (the queue
 * is full: end the connection), or the socket's error.
 */
int channel_send(struct channel *channel, const struct wire_message *message) MUST_CHECK;

/* Queues raw bytes: the four of WIRE_MAGIC before a client's HELLO. */
int channel_send_magic(struct channel *channel) MUST_CHECK;

/* Sends what is queued. 0 when all went, -EAGAIN when some is left, or the socket's error. */
int channel_flush(struct channel *channel) MUST_CHECK;
bool channel_wants_write(const struct channel *channel);

/*
 * Receives one message: 1 with a message, 0 when there is none yet, -ECONNRESET at the end of the
 * stream, -EPROTO for garbage, or the socket's error. Call until it returns 0.
 */
int channel_receive(struct channel *channel, struct wire_message *out) MUST_CHECK;

/* Waits for one message until deadline_ns (clock_ns()). -ETIMEDOUT. For clients. */
int channel_wait(struct channel *channel, uint64_t deadline_ns,
		 struct wire_message *out) MUST_CHECK;

#endif
