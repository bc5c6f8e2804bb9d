/*
 * What a person can type where a size, a duration, a number or an address is asked for. What is
 * accepted must mean the same when it is written out plainly; what is refused leaves no trace.
 */
#include "common/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int is_so)
{
	if (!is_so)
		abort();
}

static void check_error(int err)
{
	must(err == -EINVAL || err == -ERANGE);
}

static void check_size(const char *text)
{
	uint64_t value = 77, again;
	char plain[32];
	int err = parse_size(text, &value);

	if (err) {
		check_error(err);
		must(value == 77);
		return;
	}
	snprintf(plain, sizeof(plain), "%llu", (unsigned long long)value);
	must(!parse_size(plain, &again) && again == value);
}

static void check_duration(const char *text)
{
	uint32_t value = 77, again;
	char plain[32];
	int err = parse_duration_ms(text, &value);

	if (err) {
		check_error(err);
		must(value == 77);
		return;
	}
	snprintf(plain, sizeof(plain), "%ums", value);
	must(!parse_duration_ms(plain, &again) && again == value);
}

static void check_number(const char *text)
{
	uint64_t value = 77;
	int err = parse_number(text, 10, 1000, &value);

	if (err) {
		check_error(err);
		must(value == 77);
		return;
	}
	must(value >= 10 && value <= 1000 && strtoull(text, NULL, 10) == value);
}

static void check_host(const char *text, uint16_t default_port)
{
	char host[PARSE_HOST_BYTES] = "before", again[PARSE_HOST_BYTES];
	char plain[PARSE_HOST_BYTES + 16];
	uint16_t port = 7, port_again;
	int err = parse_host_port(text, default_port, host, &port);

	if (err) {
		check_error(err);
		must(port == 7 && !strcmp(host, "before"));
		return;
	}
	must(memchr(host, 0, sizeof(host)) != NULL);
	must(port != 0 || default_port == 0);
	snprintf(plain, sizeof(plain), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	must(!parse_host_port(plain, default_port, again, &port_again));
	must(port_again == port && !strcmp(again, host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_size(text);
	check_duration(text);
	check_number(text);
	check_host(text, 7471);
	check_host(text, 0);
	free(text);
	return 0;
}
