/*
 * The first words of every data connection, the same over all kinds. A pure codec: no sockets,
 * no allocation. All numbers little endian.
 *
 *   client        0        4         6       8                24
 *                 ┌────────┬─────────┬───────┬────────────────┐
 *                 │ magic  │ version │ flags │ token          │   flags: 0
 *                 └────────┴─────────┴───────┴────────────────┘
 *   donor         0        4         6        8
 *                 ┌────────┬─────────┬────────┐
 *                 │ magic  │ version │ status │                    status: enum frame_status
 *                 └────────┴─────────┴────────┘
 *
 * The magic is TP_TCP_MAGIC, TP_SHM_MAGIC or TP_VERBS_MAGIC. After any status but FRAME_OK the
 * donor hangs up. Over verbs they travel in private data (verbs_greeting.h).
 */
#ifndef COMMON_TRANSPORT_FRAME_H
#define COMMON_TRANSPORT_FRAME_H

#include "common/transport/transport.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

#define FRAME_VERSION 1
#define FRAME_HELLO_BYTES 24
#define FRAME_WELCOME_BYTES 8

/* What a donor answers, on the wire. */
enum frame_status {
	FRAME_OK,
	FRAME_REFUSED,	/* no such token, key or range */
	FRAME_PROTOCOL, /* garbage */
	FRAME_VERSIONS, /* a version that the donor does not speak */
	FRAME_BUSY,	/* too many connections */
	FRAME_MTU,	/* verbs: packets as large as the client sends do not fit */
	FRAME_STATUSES,
};

/* The errno of a status; -EPROTO for one that does not exist. */
int frame_status_errno(unsigned status) MUST_CHECK;

struct frame_hello {
	uint16_t version;
	uint8_t token[TP_TOKEN_BYTES];
};

void frame_hello_encode(uint32_t magic, const struct frame_hello *hello,
			uint8_t out[FRAME_HELLO_BYTES]);
/* 0, or -EPROTO: another magic, or flags. Any version is decoded. */
int frame_hello_decode(uint32_t magic, const uint8_t bytes[FRAME_HELLO_BYTES],
		       struct frame_hello *out) MUST_CHECK;

void frame_welcome_encode(uint32_t magic, enum frame_status status,
			  uint8_t out[FRAME_WELCOME_BYTES]);
/* 0 when welcome, the errno of the donor's refusal, -EPROTO for garbage. */
int frame_welcome_decode(uint32_t magic, const uint8_t bytes[FRAME_WELCOME_BYTES]) MUST_CHECK;

/* Numbers as they are on the wire. */
static inline void frame_put16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void frame_put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void frame_put64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static inline uint16_t frame_get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

static inline uint32_t frame_get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static inline uint64_t frame_get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

#endif
