/*
 * Text from users to values: sizes, durations, addresses. Pure functions; no allocation. Everything
 * a person can mistype is refused here with -EINVAL or -ERANGE; the caller names option and text.
 */
#ifndef COMMON_BASE_PARSE_H
#define COMMON_BASE_PARSE_H

#include "common/base/compiler.h"

#include <stdint.h>

/* "4096", "64K", "512m", "4GB", "1TiB": powers of 1024, either case; no sign, no blanks. */
int parse_size(const char *text, uint64_t *out) MUST_CHECK;

/* "500ms", "5s", "2m"; a bare number is seconds. Result in milliseconds, at most a day. */
int parse_duration_ms(const char *text, uint32_t *out) MUST_CHECK;

/* A whole decimal number in [low, high]. */
int parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *out) MUST_CHECK;

#define PARSE_HOST_BYTES 256 /* longest name that DNS allows, and its end */

/*
 * "HOST:PORT", "HOST", "[V6ADDR]:PORT", ":PORT". Without a port, `default_port`; without a host,
 * "". host must have PARSE_HOST_BYTES. Port 0 is accepted only if default_port is 0 too. An IPv6
 * address needs its brackets; they are not part of host.
 */
int parse_host_port(const char *text, uint16_t default_port, char *host, uint16_t *port) MUST_CHECK;

#endif
