#include "common/wire/cursor.h"

#include <string.h>

/* The next len bytes, or NULL once anything has failed. */
static const uint8_t *take(struct wire_reader *from, size_t len)
{
	const uint8_t *bytes = from->at;

	if (from->failed || (size_t)(from->end - from->at) < len) {
		from->failed = true;
		return NULL;
	}
	from->at += len;
	return bytes;
}

/* Byte by byte: right on any host, and compilers make one load of it. */
static uint64_t get_number(struct wire_reader *from, size_t len)
{
	const uint8_t *bytes = take(from, len);
	uint64_t value = 0;

	if (!bytes)
		return 0;
	while (len--)
		value = value << 8 | bytes[len];
	return value;
}

uint16_t wire_get_u16(struct wire_reader *from)
{
	return (uint16_t)get_number(from, 2);
}

uint32_t wire_get_u32(struct wire_reader *from)
{
	return (uint32_t)get_number(from, 4);
}

uint64_t wire_get_u64(struct wire_reader *from)
{
	return get_number(from, 8);
}

void wire_get_bytes(struct wire_reader *from, void *out, size_t len)
{
	const uint8_t *bytes = take(from, len);

	if (bytes)
		memcpy(out, bytes, len);
}

void wire_get_text(struct wire_reader *from, char *out, size_t room)
{
	size_t len = wire_get_u16(from);
	const uint8_t *bytes = take(from, len);

	if (!bytes)
		return;
	if (len >= room || memchr(bytes, 0, len)) {
		from->failed = true;
		return;
	}
	memcpy(out, bytes, len);
	out[len] = '\0';
}

static uint8_t *claim(struct wire_writer *to, size_t len)
{
	uint8_t *bytes = to->at;

	if (to->is_full || (size_t)(to->end - to->at) < len) {
		to->is_full = true;
		return NULL;
	}
	to->at += len;
	return bytes;
}

static void put_number(struct wire_writer *to, uint64_t value, size_t len)
{
	uint8_t *bytes = claim(to, len);

	for (size_t i = 0; bytes && i < len; i++) {
		bytes[i] = (uint8_t)value;
		value >>= 8;
	}
}

void wire_put_u16(struct wire_writer *to, uint16_t value)
{
	put_number(to, value, 2);
}

void wire_put_u32(struct wire_writer *to, uint32_t value)
{
	put_number(to, value, 4);
}

void wire_put_u64(struct wire_writer *to, uint64_t value)
{
	put_number(to, value, 8);
}

void wire_put_bytes(struct wire_writer *to, const void *bytes, size_t len)
{
	uint8_t *room = claim(to, len);

	if (room)
		memcpy(room, bytes, len);
}

void wire_put_text(struct wire_writer *to, const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	if (len == room) {
		to->failed = true;
		return;
	}
	wire_put_u16(to, (uint16_t)len);
	wire_put_bytes(to, text, len);
}
