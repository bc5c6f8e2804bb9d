/*
 * What a stranger sends on a tcp data connection, and what a donor gone mad answers: the same bytes
 * read by every decoder of both sides. What is taken must be drawn as the very same bytes.
 */
#include "common/transport/tcp_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int is_so)
{
	if (!is_so)
		abort();
}

static void check_hello(const uint8_t *data)
{
	uint8_t again[FRAME_HELLO_BYTES];
	struct frame_hello hello;
	int err = frame_hello_decode(TP_TCP_MAGIC, data, &hello);

	if (err) {
		must(err == -EPROTO);
		return;
	}
	frame_hello_encode(TP_TCP_MAGIC, &hello, again);
	must(!memcmp(again, data, sizeof(again)));
}

static void check_welcome(const uint8_t *data)
{
	uint8_t again[FRAME_WELCOME_BYTES];

	if (frame_welcome_decode(TP_TCP_MAGIC, data))
		return;
	frame_welcome_encode(TP_TCP_MAGIC, FRAME_OK, again);
	must(!memcmp(again, data, 4) && !memcmp(again + 6, data + 6, 2));
}

static void check_request(const uint8_t *data)
{
	uint8_t again[TCP_REQUEST_BYTES];
	struct tcp_request request;
	int err = tcp_request_decode(data, &request);

	if (err) {
		must(err == -EPROTO);
		return;
	}
	must(request.op == TCP_READ || request.op == TCP_WRITE);
	must(request.bytes >= 1 && request.bytes <= TP_MAX_BYTES);
	tcp_request_encode(&request, again);
	must(!memcmp(again, data, sizeof(again)));
}

static void check_reply(const uint8_t *data)
{
	uint8_t again[TCP_REPLY_BYTES];
	struct tcp_reply reply;
	int err = tcp_reply_decode(data, &reply);

	if (err) {
		must(err == -EPROTO);
		return;
	}
	must(reply.bytes <= TP_MAX_BYTES);
	must(frame_status_errno(reply.status) <= 0);
	must((frame_status_errno(reply.status) == 0) == (reply.status == FRAME_OK));
	tcp_reply_encode(&reply, again);
	must(!memcmp(again, data, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= FRAME_HELLO_BYTES)
		check_hello(data);
	if (size >= FRAME_WELCOME_BYTES)
		check_welcome(data);
	if (size >= TCP_REQUEST_BYTES)
		check_request(data);
	if (size >= TCP_REPLY_BYTES)
		check_reply(data);
	return 0;
}
