/*
 * Requests and replies of the tcp transport to bytes and back, after the hello of frame.h. A pure
 * codec: no sockets, no allocation. All numbers little endian.
 *
 *   request       0      2    3      4        8       16       24       32
 *                 ┌──────┬────┬──────┬────────┬────────┬────────┬────────┐
 *                 │ mark │ op │ zero │ bytes  │ key    │ offset │ cookie │  WRITE: bytes follow
 *                 └──────┴────┴──────┴────────┴────────┴────────┴────────┘
 *   reply         0      2        4        8        16
 *                 ┌──────┬────────┬────────┬────────┐
 *                 │ mark │ status │ bytes  │ cookie │                        READ: bytes follow
 *                 └──────┴────────┴────────┴────────┘
 *
 * Replies come in the order of the requests: the client knows what comes next, and so receives
 * header and payload of many replies straight into place with one system call. A reply with a
 * status other than FRAME_OK has no payload and is the last thing on the connection.
 */
#ifndef COMMON_TRANSPORT_TCP_FRAME_H
#define COMMON_TRANSPORT_TCP_FRAME_H

#include "common/transport/frame.h"

#define TCP_REQUEST_BYTES 32
#define TCP_REPLY_BYTES 16

enum tcp_op { TCP_READ = 1, TCP_WRITE = 2 };

struct tcp_request {
	enum tcp_op op;
	uint32_t bytes; /* 1 to TP_MAX_BYTES */
	uint64_t key;
	uint64_t offset; /* anything: the donor checks it */
	uint64_t cookie; /* echoed */
};

struct tcp_reply {
	uint16_t status; /* anything: see frame_status_errno() */
	uint32_t bytes;	 /* of payload that follows */
	uint64_t cookie;
};

void tcp_request_encode(const struct tcp_request *request, uint8_t out[TCP_REQUEST_BYTES]);
/* 0, or -EPROTO for what no client sends. */
int tcp_request_decode(const uint8_t bytes[TCP_REQUEST_BYTES], struct tcp_request *out) MUST_CHECK;

void tcp_reply_encode(const struct tcp_reply *reply, uint8_t out[TCP_REPLY_BYTES]);
/* 0, or -EPROTO for what no donor sends. */
int tcp_reply_decode(const uint8_t bytes[TCP_REPLY_BYTES], struct tcp_reply *out) MUST_CHECK;

#endif
