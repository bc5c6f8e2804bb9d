/*
 * Starts a server of keys and values, fills it, replaces some values, reads every one back,
 * compares each byte, and ends it. What a value is follows from its number, so nothing has to be
 * remembered.
 *
 *   prog_kv redis|memcached SOCKET VALUES BYTES SERVER ARG...
 *
 * Requests go out sixty-four at a time. Ends with 0 if every value was right and the server ended
 * in order.
 */
#include "common/base/compiler.h"
#include "tests/integration/children.h"
#include "tests/integration/give_up.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define KEY_BYTES 32
#define REPLACED_EVERY 10
#define START_TRIES 500 /* of 20 ms */

struct peer {
	FILE *in, *out;
	size_t value_bytes;
	char *expected, *got; /* value_bytes */
};

struct protocol {
	const char *name;
	void (*send_set)(struct peer *peer, const char *key);
	void (*send_get)(struct peer *peer, const char *key);
	const char *stored; /* the answer to a set */
	const char *end;    /* after a value */
};

static pid_t server;

static void kill_server(void)
{
	if (server > 0)
		kill(server, SIGKILL);
}

/* ---- what is kept ---- */

/* Printable, so that a wrong one can be looked at; too many kinds of words to be compressed away.
 */
static void make_value(uint64_t number, unsigned version, char *out, size_t bytes)
{
	uint64_t state = (number + 1) * 0x9e3779b97f4a7c15u + version;
	size_t i;

	for (i = 0; i < bytes; i++) {
		out[i] = (char)('0' + (xorshift_next(&state) & 63));
	}
}

static unsigned version_of(uint64_t number, bool replaced)
{
	return replaced && number % REPLACED_EVERY == 0;
}

static void make_key(uint64_t number, char key[KEY_BYTES])
{
	snprintf(key, KEY_BYTES, "key:%llu", (unsigned long long)number);
}

/* ---- protocols ---- */

static void redis_set(struct peer *peer, const char *key)
{
	fprintf(peer->out, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key,
		peer->value_bytes);
	fwrite(peer->expected, 1, peer->value_bytes, peer->out);
	fputs("\r\n", peer->out);
}

static void redis_get(struct peer *peer, const char *key)
{
	fprintf(peer->out, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(key), key);
}

static void memcached_set(struct peer *peer, const char *key)
{
	fprintf(peer->out, "set %s 0 0 %zu\r\n", key, peer->value_bytes);
	fwrite(peer->expected, 1, peer->value_bytes, peer->out);
	fputs("\r\n", peer->out);
}

static void memcached_get(struct peer *peer, const char *key)
{
	fprintf(peer->out, "get %s\r\n", key);
}

static const struct protocol protocols[] = {
	{"redis", redis_set, redis_get, "+OK\r\n", "\r\n"},
	{"memcached", memcached_set, memcached_get, "STORED\r\n", "\r\nEND\r\n"},
};

static void expect(struct peer *peer, const char *text)
{
	char got[64];
	size_t len = strlen(text);

	if (fread(got, 1, len, peer->in) != len || memcmp(got, text, len))
		give_up("the server did not answer %s", text);
}

static void receive_value(struct peer *peer, const struct protocol *protocol, uint64_t number)
{
	char line[128];

	/* "$2000" or "VALUE key:1 0 2000" */
	if (!fgets(line, sizeof(line), peer->in) || (line[0] != '$' && line[0] != 'V') ||
	    line[1] == '-')
		give_up("the server has no value %llu", (unsigned long long)number);
	if (fread(peer->got, 1, peer->value_bytes, peer->in) != peer->value_bytes)
		give_up("value %llu is short", (unsigned long long)number);
	if (memcmp(peer->got, peer->expected, peer->value_bytes))
		give_up("value %llu is wrong", (unsigned long long)number);
	expect(peer, protocol->end);
}

/* ---- the work ---- */

static void set_all(struct peer *peer, const struct protocol *protocol, uint64_t values,
		    uint64_t every, bool replaced)
{
	uint64_t asked = 0, answered = 0;
	char key[KEY_BYTES];
	uint64_t number;

	for (number = 0; number < values; number += every) {
		make_key(number, key);
		make_value(number, version_of(number, replaced), peer->expected, peer->value_bytes);
		protocol->send_set(peer, key);
		if (++asked % BATCH == 0)
			for (fflush(peer->out); answered < asked; answered++)
				expect(peer, protocol->stored);
	}
	for (fflush(peer->out); answered < asked; answered++)
		expect(peer, protocol->stored);
}

/* The i-th number of an order that jumps about: stride and values have no common divisor. */
static uint64_t jump(uint64_t i, uint64_t stride, uint64_t values)
{
	return i * stride % values;
}

static void get_batch(struct peer *peer, const struct protocol *protocol, const uint64_t *numbers,
		      unsigned n, bool replaced)
{
	char key[KEY_BYTES];
	unsigned i;

	for (i = 0; i < n; i++) {
		make_key(numbers[i], key);
		protocol->send_get(peer, key);
	}
	fflush(peer->out);
	for (i = 0; i < n; i++) {
		make_value(numbers[i], version_of(numbers[i], replaced), peer->expected,
			   peer->value_bytes);
		receive_value(peer, protocol, numbers[i]);
	}
}

static void get_all(struct peer *peer, const struct protocol *protocol, uint64_t values,
		    uint64_t stride, bool replaced)
{
	uint64_t numbers[BATCH];
	unsigned n = 0;
	uint64_t i;

	for (i = 0; i < values; i++) {
		numbers[n++] = jump(i, stride, values);
		if (n == BATCH || i == values - 1) {
			get_batch(peer, protocol, numbers, n, replaced);
			n = 0;
		}
	}
}

/* ---- the server ---- */

static void start_server(char *const argv[])
{
	server = fork();
	if (server < 0)
		give_up("fork: %s", strerror(errno));
	if (server > 0)
		return;
	execvp(argv[0], argv);
	fprintf(stderr, "prog_kv: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int connect_server(const char *path)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int try;
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (try = 0; try < START_TRIES; try++) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			give_up("socket: %s", strerror(errno));
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fd;
		close(fd);
		nanosleep(&pause, NULL);
	}
	give_up("the server does not listen at %s", path);
}

static void stop_server(void)
{
	kill(server, SIGTERM);
	child_await(server, "the server");
}

static void peer_open(struct peer *peer, int fd, size_t value_bytes)
{
	peer->in = fdopen(fd, "r");
	peer->out = fdopen(dup(fd), "w");
	peer->value_bytes = value_bytes;
	peer->expected = malloc(value_bytes);
	peer->got = malloc(value_bytes);
	if (!peer->in || !peer->out || !peer->expected || !peer->got)
		give_up("no memory");
}

static const struct protocol *protocol_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(protocols); i++)
		if (!strcmp(protocols[i].name, name))
			return &protocols[i];
	give_up("%s is no protocol", name);
}

int main(int argc, char **argv)
{
	const struct protocol *protocol;
	struct peer peer;
	uint64_t values;

	if (argc < 6)
		give_up("usage: prog_kv redis|memcached SOCKET VALUES BYTES SERVER ARG...");
	protocol = protocol_find(argv[1]);
	values = strtoull(argv[3], NULL, 10);
	unlink(argv[2]);
	give_up_last = kill_server;
	start_server(argv + 5);
	peer_open(&peer, connect_server(argv[2]), strtoull(argv[4], NULL, 10));

	set_all(&peer, protocol, values, 1, false);
	get_all(&peer, protocol, values, 1, false);
	printf("%llu values were right, in order\n", (unsigned long long)values);
	set_all(&peer, protocol, values, REPLACED_EVERY, true);
	get_all(&peer, protocol, values, 104729, true); /* a prime */
	printf("%llu values were right, here and there\n", (unsigned long long)values);
	stop_server();
	return 0;
}
