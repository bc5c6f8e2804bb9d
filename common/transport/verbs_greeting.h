/*
 * The hello and the welcome of frame.h where rdma_cm carries them: in the private data of a
 * connection request, of its acceptance and of its rejection. Pure: nothing but bytes that somebody
 * else has sent. What follows them is padding, up to the size that the fabric gives private data.
 */
#ifndef COMMON_TRANSPORT_VERBS_GREETING_H
#define COMMON_TRANSPORT_VERBS_GREETING_H

#include "common/transport/frame.h"

/* The longest of them. */
#define VERBS_GREETING_BYTES FRAME_HELLO_BYTES

/* 0, or -EPROTO: too short, another magic. Any version is decoded. */
int verbs_greeting_hello(const uint8_t *bytes, size_t len, struct frame_hello *out) MUST_CHECK;

/* What an acceptance says: 0, or -EPROTO. */
int verbs_greeting_accepted(const uint8_t *bytes, size_t len) MUST_CHECK;

/*
 * What a rejection says, as a negative errno. `reason` is the connection manager's (InfiniBand
 * Architecture Specification, volume 1, 12.6.7.2); the bytes count if it is the donor who rejects.
 */
int verbs_greeting_rejected(int reason, const uint8_t *bytes, size_t len) MUST_CHECK;

#endif
