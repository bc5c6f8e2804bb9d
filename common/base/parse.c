#include "common/base/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define MS_PER_S 1000u
#define MS_PER_MINUTE (60u * MS_PER_S)
#define MS_PER_DAY (24u * 60u * MS_PER_MINUTE)

/* Not isdigit() and its kin: those follow the host program's locale. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads digits at *text and moves it past them. */
static int take_number(const char **text, uint64_t *out)
{
	const char *at = *text;
	uint64_t value = 0;

	if (!is_digit(*at))
		return -EINVAL;
	for (; is_digit(*at); at++) {
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -ERANGE;
	}
	*text = at;
	*out = value;
	return 0;
}

/* Moves *text past K, M, G or T and returns its power of two; 0 if there is none. */
static unsigned take_unit(const char **text)
{
	static const char units[] = "kmgt";
	const char *unit;

	if (**text == '\0')
		return 0;
	unit = strchr(units, **text | 0x20);
	if (!unit)
		return 0;
	(*text)++;
	return 10 * (unsigned)(unit - units + 1);
}

int parse_size(const char *text, uint64_t *out)
{
	uint64_t value;
	unsigned shift;
	int err;

	err = take_number(&text, &value);
	if (err)
		return err;
	shift = take_unit(&text);
	if (shift && text[0] == 'i' && text[1] == 'B')
		text++;
	if (*text == 'B')
		text++;
	if (*text)
		return -EINVAL;
	if (__builtin_mul_overflow(value, 1ull << shift, &value))
		return -ERANGE;
	*out = value;
	return 0;
}

/* Milliseconds in the named unit; 0 if there is no such unit. */
static uint64_t duration_unit(const char *unit)
{
	if (*unit == '\0' || strcmp(unit, "s") == 0)
		return MS_PER_S;
	if (strcmp(unit, "ms") == 0)
		return 1;
	if (strcmp(unit, "m") == 0)
		return MS_PER_MINUTE;
	return 0;
}

int parse_duration_ms(const char *text, uint32_t *out)
{
	uint64_t value, unit_ms;
	int err;

	err = take_number(&text, &value);
	if (err)
		return err;
	unit_ms = duration_unit(text);
	if (!unit_ms)
		return -EINVAL;
	if (__builtin_mul_overflow(value, unit_ms, &value) || value > MS_PER_DAY)
		return -ERANGE;
	*out = (uint32_t)value;
	return 0;
}

int parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
	uint64_t value;
	int err;

	err = take_number(&text, &value);
	if (err)
		return err;
	if (*text)
		return -EINVAL;
	if (value < low || value > high)
		return -ERANGE;
	*out = value;
	return 0;
}

static bool is_name_char(char c)
{
	return is_digit(c) || is_letter(c) || strchr("-._", c);
}

/* Addresses of one link have a zone: fe80::1%eth0. */
static bool is_v6_char(char c)
{
	return is_name_char(c) || c == ':' || c == '%';
}

/* Where in the text the host is, and what follows it: "" or ":PORT". */
struct host_part {
	const char *start;
	size_t len;
	const char *rest;
};

static int find_name(const char *text, struct host_part *out)
{
	const char *at = text;

	while (*at && is_name_char(*at))
		at++;
	*out = (struct host_part){.start = text, .len = (size_t)(at - text), .rest = at};
	return 0;
}

static int find_v6(const char *text, struct host_part *out)
{
	const char *start = text + 1, *at = start;

	while (*at && is_v6_char(*at))
		at++;
	if (*at != ']' || !memchr(start, ':', (size_t)(at - start)))
		return -EINVAL;
	*out = (struct host_part){.start = start, .len = (size_t)(at - start), .rest = at + 1};
	return 0;
}

int parse_host_port(const char *text, uint16_t default_port, char *host, uint16_t *port)
{
	uint64_t number = default_port;
	struct host_part part;
	int err;

	err = *text == '[' ? find_v6(text, &part) : find_name(text, &part);
	if (err)
		return err;
	if (*part.rest == ':')
		err = parse_number(part.rest + 1, default_port ? 1 : 0, UINT16_MAX, &number);
	else if (*part.rest || part.len == 0)
		err = -EINVAL;
	if (err)
		return err;
	if (part.len >= PARSE_HOST_BYTES)
		return -ERANGE;
	memcpy(host, part.start, part.len);
	host[part.len] = '\0';
	*port = (uint16_t)number;
	return 0;
}
