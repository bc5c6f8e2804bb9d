/*
 * A client of donord that does what its arguments say, one after another, and prints one line about
 * each, so that a test in bash can talk to a donor without an engine:
 *
 *   prog_donor_client HOST:PORT|unix:PATH COMMAND...
 *
 *   hello [MIN-MAX]  HELLO, of these versions        "welcome slabs=8 free=8 port=7471 path=…"
 *   lease N          LEASE, and the GRANT             "granted 3 free=5"
 *   ask N            LEASE, without waiting           "asked 3"
 *   return N         RETURN of the N oldest leases    "returned 3"
 *   renew            RENEW, and RENEWED               "renewed free=5"
 *   expect           waits for a message              "REVOKED 3", "ERROR 2 text", "closed"
 *   shm, tcp, verbs  data connection of that kind     "connected"
 *   zeros            all leases read as zeros         "zeros 96 MiB"
 *   write, check     all leases, a pattern each       "wrote 96 MiB", "checked 96 MiB"
 *   thief            another session tries the keys   "refused: Permission denied"
 *   fork             another session, which shares all leases and is the client from now on
 *                                                    "shared 3 of 3"
 *   swap             the one before that is, again    "swapped"
 *   raw HEX          these bytes on the connection    "sent 4 bytes"
 *   knock N          N connections opened and dropped "knocked 10000 times"
 *   open N           N connections opened and kept    "opened 300"
 *   sleep MS         nothing                          "slept"
 *   bye              BYE                              "bye"
 *
 * The first thing that goes wrong is printed as "failed COMMAND: why", status 1.
 */
#include "tests/integration/donor_client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- two that share ---- */

static struct client parent;

static int share_all(struct client *child)
{
	struct wire_message message = {.type = WIRE_SHARE};
	struct wire_share *share = &message.share;
	int err;

	if (parent.count > WIRE_MAX_LEASES)
		return -EINVAL;
	memcpy(share->token, parent.welcome.token, sizeof(share->token));
	share->count = parent.count;
	for (unsigned i = 0; i < parent.count; i++)
		share->keys[i] = parent.slabs[i].key;
	err = channel_send(&child->channel, &message);
	if (!err)
		err = client_await(child, WIRE_GRANT, &message);
	for (unsigned i = 0; i < message.grant.count && !err; i++) {
		client_keep(child, &message.grant.slabs[i]);
		child->names[i] = parent.names[i];
	}
	return err;
}

static int do_fork(struct client *client, const char *unused UNUSED)
{
	int err;

	parent = *client;
	memset(client, 0, sizeof(*client));
	err = client_open(client, parent.where);
	if (!err)
		err = client_greet(client);
	if (!err)
		err = share_all(client);
	if (!err)
		printf("shared %u of %u\n", client->count, parent.count);
	return err;
}

/* With the parent in the place of the client, which loses nothing by it. */
static int do_swap(struct client *client, const char *unused UNUSED)
{
	static struct client other;

	other = *client;
	*client = parent;
	parent = other;
	puts("swapped");
	return 0;
}

/* ---- mischief ---- */

static int do_raw(struct client *client, const char *hex)
{
	static uint8_t bytes[1 << 16];
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		if (n > sizeof(bytes) || sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return -EINVAL;
		bytes[i] = (uint8_t)byte;
	}
	if (send(client->channel.fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
		return -errno;
	printf("sent %zu bytes\n", n);
	return 0;
}

static int do_knock(struct client *client, const char *number)
{
	unsigned n = (unsigned)strtoul(number, NULL, 10);

	for (unsigned i = 0; i < n; i++) {
		int fd = client_dial(client->where);

		if (fd < 0)
			return fd;
		close(fd);
	}
	printf("knocked %u times\n", n);
	return 0;
}

static int do_open(struct client *client, const char *number)
{
	unsigned n = (unsigned)strtoul(number, NULL, 10);

	for (unsigned i = 0; i < n; i++) {
		int fd = client_dial(client->where);

		if (fd < 0)
			return fd;
	}
	printf("opened %u\n", n);
	return 0;
}

static int do_sleep(struct client *client UNUSED, const char *ms)
{
	poll(NULL, 0, atoi(ms));
	puts("slept");
	return 0;
}

/* ---- commands ---- */

enum argument { NONE, OPTIONAL, NEEDED, ITSELF };

struct command {
	const char *name;
	int (*run)(struct client *client, const char *argument);
	enum argument takes;
};

static const struct command commands[] = {
	{"hello", do_hello, OPTIONAL}, {"lease", do_lease, NEEDED}, {"ask", do_ask, NEEDED},
	{"return", do_return, NEEDED}, {"renew", do_renew, NONE},   {"expect", do_expect, NONE},
	{"bye", do_bye, NONE},	       {"shm", do_data, ITSELF},    {"tcp", do_data, ITSELF},
	{"zeros", do_zeros, NONE},     {"write", do_write, NONE},   {"check", do_check, NONE},
	{"thief", do_thief, NONE},     {"raw", do_raw, NEEDED},	    {"knock", do_knock, NEEDED},
	{"open", do_open, NEEDED},     {"sleep", do_sleep, NEEDED}, {"verbs", do_data, ITSELF},
	{"fork", do_fork, NONE},       {"swap", do_swap, NONE},
};

static const struct command *command_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	fprintf(stderr, "%s is no command\n", name);
	exit(2);
}

static bool takes_next(const struct command *command, const char *next)
{
	if (command->takes == OPTIONAL)
		return next && next[0] >= '0' && next[0] <= '9';
	return command->takes == NEEDED && next;
}

/* Returns how many words it took. */
static int run_one(struct client *client, char **words)
{
	const struct command *command = command_find(words[0]);
	const char *argument = command->takes == ITSELF ? words[0] : NULL;
	int err;

	if (takes_next(command, words[1]))
		argument = words[1];
	if (command->takes == NEEDED && !argument) {
		fprintf(stderr, "%s needs an argument\n", words[0]);
		exit(2);
	}
	err = command->run(client, argument);
	if (err) {
		printf("failed %s: %s\n", words[0], strerror(-err));
		exit(1);
	}
	return argument && command->takes != ITSELF ? 2 : 1;
}

int main(int argc, char **argv)
{
	static struct client client;
	int err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3) {
		fprintf(stderr, "usage: prog_donor_client HOST:PORT|unix:PATH COMMAND...\n");
		return 2;
	}
	err = client_open(&client, argv[1]);
	if (err) {
		printf("failed connect: %s\n", strerror(-err));
		return 1;
	}
	for (int i = 2; i < argc;)
		i += run_one(&client, argv + i);
	return 0;
}
