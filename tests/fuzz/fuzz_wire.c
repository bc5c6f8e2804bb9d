/*
 * Bytes as a stranger sends them on a control connection. What is taken as a message must be drawn
 * as the very same bytes: then nothing can be said in two ways, and nothing is half understood.
 */
#include "common/wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int is_so)
{
	if (!is_so)
		abort();
}

static void check_message(const struct wire_message *message, const uint8_t *bytes, size_t len)
{
	uint8_t again[WIRE_MAX_FRAME];
	struct wire_message same;

	must(wire_encode(message, again, sizeof(again)) == (int)len);
	must(!memcmp(again, bytes, len));
	must(wire_decode(again, len, &same) == (int)len);
	must(!memcmp(&same, message, sizeof(same)));
	must(wire_encode(message, again, len - 1) == -ENOBUFS);
	must(strcmp(wire_type_name(message->type), "unknown") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_message message;
	int n;

	while ((n = wire_decode(data, size, &message)) > 0) {
		must((size_t)n <= size && n >= WIRE_HEADER_BYTES);
		check_message(&message, data, (size_t)n);
		data += n;
		size -= (size_t)n;
	}
	must(n == 0 || n == -EPROTO);
	must(n == -EPROTO || size < WIRE_MAX_FRAME);
	return 0;
}
