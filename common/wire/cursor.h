/*
 * One bounded cursor that reads all bytes from outside, one that writes them: little endian, never
 * past the end. An overrun sticks: what follows reads as zero or is not written, so that a codec is
 * a straight list of fields with one look at `failed` at its end. For wire.c only.
 */
#ifndef COMMON_WIRE_CURSOR_H
#define COMMON_WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_reader {
	const uint8_t *at, *end;
	bool failed; /* ran over the end, or met what may not be */
};

struct wire_writer {
	uint8_t *at, *end;
	bool is_full; /* ran over the end */
	bool failed;  /* was given what cannot be written */
};

uint16_t wire_get_u16(struct wire_reader *from);
uint32_t wire_get_u32(struct wire_reader *from);
uint64_t wire_get_u64(struct wire_reader *from);
void wire_get_bytes(struct wire_reader *from, void *out, size_t len);

/* A u16 length and so many bytes. Fails unless they and an end fit in room, and none is NUL. */
void wire_get_text(struct wire_reader *from, char *out, size_t room);

void wire_put_u16(struct wire_writer *to, uint16_t value);
void wire_put_u32(struct wire_writer *to, uint32_t value);
void wire_put_u64(struct wire_writer *to, uint64_t value);
void wire_put_bytes(struct wire_writer *to, const void *bytes, size_t len);

/* Fails if there is no end within `room` bytes of text. */
void wire_put_text(struct wire_writer *to, const char *text, size_t room);

#endif
