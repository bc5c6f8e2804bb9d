/* Small files of /proc and /sys: read as text, searched for numbers. Pure but for the reading. */
#ifndef COMMON_BASE_TEXT_H
#define COMMON_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Files that we read are shorter; a longer one is cut, and still text. */
#define TEXT_FILE_BYTES 8192

/* Returns the length, 0 with an empty text if there is nothing to be read. */
size_t text_read(const char *path, char *out, size_t room);

/* The number after `name` at its first place; 0 if there is none. */
uint64_t text_number_after(const char *text, const char *name);

/* The number that a file begins with. */
bool text_read_number(const char *path, uint64_t *out);

#endif
