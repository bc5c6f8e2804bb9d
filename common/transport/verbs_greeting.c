#include "common/transport/verbs_greeting.h"

#include <errno.h>

/* Reasons for which nobody has looked at the hello. */
enum {
	NO_QP = 1,
	NO_RESOURCES = 3,
	TIMEOUT = 4,
	NOBODY_LISTENS = 8, /* "invalid service ID" */
	STALE_CONNECTION = 10,
	BY_THE_DONOR = 28, /* "consumer reject" */
};

int verbs_greeting_hello(const uint8_t *bytes, size_t len, struct frame_hello *out)
{
	if (len < FRAME_HELLO_BYTES)
		return -EPROTO;
	return frame_hello_decode(TP_VERBS_MAGIC, bytes, out);
}

int verbs_greeting_accepted(const uint8_t *bytes, size_t len)
{
	if (len < FRAME_WELCOME_BYTES)
		return -EPROTO;
	return frame_welcome_decode(TP_VERBS_MAGIC, bytes) ? -EPROTO : 0;
}

static int by_the_donor(const uint8_t *bytes, size_t len)
{
	static const uint8_t nothing[FRAME_WELCOME_BYTES];
	int err;

	/* Of a process that ends while a request waits, the kernel rejects it, and is silent. */
	if (len < FRAME_WELCOME_BYTES || memcmp(bytes, nothing, sizeof(nothing)) == 0)
		return -ECONNRESET;
	err = frame_welcome_decode(TP_VERBS_MAGIC, bytes);
	return err ? err : -EPROTO;
}

int verbs_greeting_rejected(int reason, const uint8_t *bytes, size_t len)
{
	switch (reason) {
	case BY_THE_DONOR:
		return by_the_donor(bytes, len);
	case TIMEOUT:
		return -ETIMEDOUT;
	case NO_QP:
	case NO_RESOURCES:
		return -EBUSY;
	case STALE_CONNECTION:
		return -ECONNRESET;
	case NOBODY_LISTENS:
	default:
		return -ECONNREFUSED;
	}
}
