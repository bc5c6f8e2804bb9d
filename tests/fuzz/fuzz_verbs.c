/*
 * What a stranger says in the private data of a connection request, and what a donor gone mad
 * answers: the same bytes read by every decoder of both sides. The first two are the reason and the
 * length that came with them.
 */
#include "common/transport/verbs_greeting.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int is_so)
{
	if (!is_so)
		abort();
}

/* What is taken must be drawn as the very same bytes. */
static void check_hello(const uint8_t *bytes, size_t len)
{
	uint8_t again[FRAME_HELLO_BYTES];
	struct frame_hello hello;
	int err = verbs_greeting_hello(bytes, len, &hello);

	if (err) {
		must(err == -EPROTO);
		return;
	}
	must(len >= FRAME_HELLO_BYTES);
	frame_hello_encode(TP_VERBS_MAGIC, &hello, again);
	must(memcmp(again, bytes, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len;

	if (size < 2)
		return 0;
	len = data[1] < size - 2 ? data[1] : size - 2;
	check_hello(data + 2, len);
	must(verbs_greeting_accepted(data + 2, len) == 0 ||
	     verbs_greeting_accepted(data + 2, len) == -EPROTO);
	must(verbs_greeting_rejected((int8_t)data[0], data + 2, len) < 0);
	return 0;
}
