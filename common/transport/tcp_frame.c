#include "common/transport/tcp_frame.h"

#include <errno.h>

/* Tells at once when the two sides have lost step. "LQ" and "LR". */
#define REQUEST_MARK 0x514cu
#define REPLY_MARK 0x524cu

void tcp_request_encode(const struct tcp_request *request, uint8_t out[TCP_REQUEST_BYTES])
{
	frame_put16(out, REQUEST_MARK);
	out[2] = (uint8_t)request->op;
	out[3] = 0;
	frame_put32(out + 4, request->bytes);
	frame_put64(out + 8, request->key);
	frame_put64(out + 16, request->offset);
	frame_put64(out + 24, request->cookie);
}

int tcp_request_decode(const uint8_t bytes[TCP_REQUEST_BYTES], struct tcp_request *out)
{
	uint32_t size = frame_get32(bytes + 4);

	if (frame_get16(bytes) != REQUEST_MARK || bytes[3] != 0)
		return -EPROTO;
	if (bytes[2] != TCP_READ && bytes[2] != TCP_WRITE)
		return -EPROTO;
	if (size < 1 || size > TP_MAX_BYTES)
		return -EPROTO;
	out->op = (enum tcp_op)bytes[2];
	out->bytes = size;
	out->key = frame_get64(bytes + 8);
	out->offset = frame_get64(bytes + 16);
	out->cookie = frame_get64(bytes + 24);
	return 0;
}

void tcp_reply_encode(const struct tcp_reply *reply, uint8_t out[TCP_REPLY_BYTES])
{
	frame_put16(out, REPLY_MARK);
	frame_put16(out + 2, reply->status);
	frame_put32(out + 4, reply->bytes);
	frame_put64(out + 8, reply->cookie);
}

int tcp_reply_decode(const uint8_t bytes[TCP_REPLY_BYTES], struct tcp_reply *out)
{
	uint32_t size = frame_get32(bytes + 4);

	if (frame_get16(bytes) != REPLY_MARK || size > TP_MAX_BYTES)
		return -EPROTO;
	out->status = frame_get16(bytes + 2);
	out->bytes = size;
	out->cookie = frame_get64(bytes + 8);
	return 0;
}
