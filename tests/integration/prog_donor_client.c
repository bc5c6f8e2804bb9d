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
#include "common/base/clock.h"
#include "common/base/parse.h"
#include "common/transport/transport.h"
#include "common/wire/channel.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_NS (10ull * 1000000000)
#define MAX_KEYS 4096

struct client {
	const char *where;
	struct channel channel;
	struct wire_welcome welcome;
	uint32_t requests;
	unsigned count;
	struct tp_remote slabs[MAX_KEYS]; /* oldest first */
	uint64_t names[MAX_KEYS]; /* what is written there begins with: the key when it was new */
	uint32_t handles[MAX_KEYS];
	unsigned attached; /* the first so many have handles */
	struct tp *tp;
	struct tp_conn *conn;
};

static uint8_t buffer[TP_MAX_BYTES];

/* ---- connections ---- */

static int dial_local(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return fd;
}

static int dial_tcp(const char *where)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char host[PARSE_HOST_BYTES], text[8];
	struct addrinfo *info;
	uint16_t port;
	int fd, err;

	if (parse_host_port(where, WIRE_DEFAULT_PORT, host, &port))
		return -EINVAL;
	snprintf(text, sizeof(text), "%u", port);
	if (getaddrinfo(host, text, &hints, &info))
		return -EHOSTUNREACH;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	err = fd < 0 || connect(fd, info->ai_addr, info->ai_addrlen) ? -errno : 0;
	freeaddrinfo(info);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

static int dial(const char *where)
{
	return strncmp(where, "unix:", 5) ? dial_tcp(where) : dial_local(where + 5);
}

static int client_open(struct client *client, const char *where)
{
	int fd = dial(where);

	if (fd < 0)
		return fd;
	client->where = where;
	channel_open(&client->channel, fd);
	return 0;
}

/* ---- control ---- */

static int await(struct client *client, uint16_t type, struct wire_message *out)
{
	int n = channel_wait(&client->channel, clock_ns() + PATIENCE_NS, out);

	if (n < 0)
		return n;
	if (out->type != type)
		printf("%s instead of %s\n", wire_type_name(out->type), wire_type_name(type));
	return out->type == type ? 0 : -EPROTO;
}

static int send_hello(struct client *client, unsigned low, unsigned high)
{
	struct wire_message message = {.type = WIRE_HELLO};
	int err = channel_send_magic(&client->channel);

	if (err)
		return err;
	message.hello.version = (uint16_t)high;
	message.hello.min_version = (uint16_t)low;
	message.hello.pid = (uint32_t)getpid();
	strcpy(message.hello.name, "donor_client");
	return channel_send(&client->channel, &message);
}

static int greet(struct client *client)
{
	struct wire_message message;
	int err = send_hello(client, WIRE_VERSION, WIRE_VERSION);

	if (!err)
		err = await(client, WIRE_WELCOME, &message);
	if (!err)
		client->welcome = message.welcome;
	return err;
}

static int do_hello(struct client *client, const char *versions)
{
	const struct wire_welcome *welcome = &client->welcome;
	unsigned low, high;
	int err;

	if (versions && sscanf(versions, "%u-%u", &low, &high) == 2) {
		puts("said hello");
		return send_hello(client, low, high);
	}
	err = greet(client);
	if (err)
		return err;
	printf("welcome slabs=%llu free=%llu slab_bytes=%llu lease=%u renew=%u port=%u path=%s\n",
	       (unsigned long long)welcome->slabs, (unsigned long long)welcome->slabs_free,
	       (unsigned long long)welcome->slab_bytes, welcome->lease_ms, welcome->renew_ms,
	       welcome->data_port, welcome->local_path);
	return 0;
}

static int send_lease(struct client *client, const char *number)
{
	struct wire_message message = {.type = WIRE_LEASE};

	message.lease.request = ++client->requests;
	message.lease.slabs = (uint32_t)strtoul(number, NULL, 10);
	return channel_send(&client->channel, &message);
}

static int do_ask(struct client *client, const char *number)
{
	printf("asked %s\n", number);
	return send_lease(client, number);
}

static void keep(struct client *client, const struct wire_slab *slab)
{
	client->names[client->count] = slab->key;
	client->slabs[client->count++] = (struct tp_remote){
		.key = slab->key,
		.bytes = client->welcome.slab_bytes,
		.address = slab->address,
		.rkey = slab->rkey,
	};
}

static int do_lease(struct client *client, const char *number)
{
	struct wire_message message;
	int err = send_lease(client, number);

	if (!err)
		err = await(client, WIRE_GRANT, &message);
	if (err)
		return err;
	if (message.grant.request != client->requests ||
	    client->count + message.grant.count > MAX_KEYS)
		return -EPROTO;
	for (unsigned i = 0; i < message.grant.count; i++)
		keep(client, &message.grant.slabs[i]);
	printf("granted %u free=%llu\n", message.grant.count,
	       (unsigned long long)message.grant.slabs_free);
	return 0;
}

static void forget_slabs(struct client *client, unsigned n)
{
	client->count -= n;
	client->attached -= client->attached < n ? client->attached : n;
	memmove(client->slabs, client->slabs + n, client->count * sizeof(client->slabs[0]));
	memmove(client->handles, client->handles + n, client->count * sizeof(client->handles[0]));
	memmove(client->names, client->names + n, client->count * sizeof(client->names[0]));
}

static int do_return(struct client *client, const char *number)
{
	struct wire_message message = {.type = WIRE_RETURN};
	unsigned n = (unsigned)strtoul(number, NULL, 10);
	int err;

	if (n > client->count || n > WIRE_MAX_LEASES)
		return -EINVAL;
	message.keys.count = n;
	for (unsigned i = 0; i < n; i++)
		message.keys.keys[i] = client->slabs[i].key;
	for (unsigned i = 0; i < n && i < client->attached; i++)
		tp_detach(client->conn, client->handles[i]);
	forget_slabs(client, n);
	err = channel_send(&client->channel, &message);
	if (!err)
		printf("returned %u\n", n);
	return err;
}

static int renew(struct client *client, struct wire_message *message)
{
	int err;

	message->type = WIRE_RENEW;
	err = channel_send(&client->channel, message);
	return err ? err : await(client, WIRE_RENEWED, message);
}

static int do_renew(struct client *client, const char *unused UNUSED)
{
	struct wire_message message;
	int err = renew(client, &message);

	if (!err)
		printf("renewed free=%llu\n", (unsigned long long)message.renewed.slabs_free);
	return err;
}

static int do_expect(struct client *client, const char *unused UNUSED)
{
	struct wire_message message;
	int n = channel_wait(&client->channel, clock_ns() + PATIENCE_NS, &message);

	if (n == -ECONNRESET)
		puts("closed");
	else if (n < 0)
		return n;
	else if (message.type == WIRE_REVOKED)
		printf("REVOKED %u\n", message.keys.count);
	else if (message.type == WIRE_SOLE)
		printf("SOLE %u, shared %u times\n", message.sole.count,
		       message.sole.leases[0].shares);
	else if (message.type == WIRE_ERROR)
		printf("ERROR %u %s\n", message.error.code, message.error.text);
	else
		puts(wire_type_name(message.type));
	return 0;
}

static int do_bye(struct client *client, const char *unused UNUSED)
{
	struct wire_message message = {.type = WIRE_BYE};

	puts("bye");
	return channel_send(&client->channel, &message);
}

/* ---- data ---- */

static int connect_data(struct client *client, enum tp_kind kind)
{
	struct tp_target target = {.path = client->welcome.local_path};
	char host[PARSE_HOST_BYTES] = "127.0.0.1";
	uint16_t port;
	int err;

	if (strncmp(client->where, "unix:", 5) &&
	    parse_host_port(client->where, WIRE_DEFAULT_PORT, host, &port))
		return -EINVAL;
	target.host = host;
	target.port = kind == TP_VERBS ? client->welcome.verbs_port : client->welcome.data_port;
	memcpy(target.token, client->welcome.token, sizeof(target.token));
	err = tp_open(kind, &(struct tp_options){0}, &client->tp);
	if (!err)
		err = tp_register(client->tp, buffer, sizeof(buffer));
	return err ? err : tp_connect(client->tp, &target, &client->conn);
}

static int do_data(struct client *client, const char *kind_name)
{
	enum tp_kind kind;
	int err = tp_kind_parse(kind_name, &kind);

	if (!err)
		err = connect_data(client, kind);
	if (!err)
		puts("connected");
	return err;
}

static int attach_new(struct client *client)
{
	while (client->attached < client->count) {
		unsigned i = client->attached;
		int err = tp_attach(client->conn, &client->slabs[i], &client->handles[i]);

		if (err)
			return err;
		client->attached++;
	}
	return 0;
}

/* One request, waited for. */
static int transfer(struct client *client, enum tp_op op, uint32_t handle, uint64_t offset)
{
	const struct tp_request request = {op, handle, offset, buffer, sizeof(buffer), 1};
	uint64_t deadline = clock_ns() + PATIENCE_NS;
	struct tp_completion done;
	int n = tp_post(client->conn, &request, 1);

	if (n < 0)
		return n;
	while ((n = tp_poll(client->conn, &done, 1)) == 0) {
		if (clock_ns() > deadline)
			return -ETIMEDOUT;
	}
	return n < 0 ? n : done.status;
}

static uint8_t pattern(uint64_t key, uint64_t offset)
{
	return (uint8_t)((key * 31 + offset / sizeof(buffer)) % 255 + 1);
}

static bool is_filled_with(uint8_t byte)
{
	return buffer[0] == byte && !memcmp(buffer, buffer + 1, sizeof(buffer) - 1);
}

enum pass { PASS_ZEROS, PASS_WRITE, PASS_CHECK };

static int pass_over(struct client *client, enum pass pass, unsigned lease)
{
	enum tp_op op = pass == PASS_WRITE ? TP_WRITE : TP_READ;
	struct wire_message message;
	uint64_t offset;
	int err;

	/* A slow build on a busy machine takes longer than a lease lasts. */
	err = renew(client, &message);
	if (err)
		return err;
	for (offset = 0; offset < client->welcome.slab_bytes; offset += sizeof(buffer)) {
		uint8_t byte = pass == PASS_ZEROS ? 0 : pattern(client->names[lease], offset);

		memset(buffer, pass == PASS_WRITE ? byte : 0xee, sizeof(buffer));
		err = transfer(client, op, client->handles[lease], offset);
		if (err)
			return err;
		if (!is_filled_with(byte))
			return -EILSEQ;
	}
	return 0;
}

static int pass_over_all(struct client *client, enum pass pass, const char *what)
{
	int err = client->conn ? attach_new(client) : -ENOTCONN;

	for (unsigned i = 0; i < client->count && !err; i++)
		err = pass_over(client, pass, i);
	if (!err)
		printf("%s %llu MiB\n", what,
		       (unsigned long long)(client->count * client->welcome.slab_bytes) >> 20);
	return err;
}

static int do_zeros(struct client *client, const char *unused UNUSED)
{
	return pass_over_all(client, PASS_ZEROS, "zeros");
}

static int do_write(struct client *client, const char *unused UNUSED)
{
	return pass_over_all(client, PASS_WRITE, "wrote");
}

static int do_check(struct client *client, const char *unused UNUSED)
{
	return pass_over_all(client, PASS_CHECK, "checked");
}

/* 0 if the other session could read: which no test wants to see. */
static int try_key(struct client *thief, const struct tp_remote *slab)
{
	uint32_t handle;
	int err = tp_attach(thief->conn, slab, &handle);

	return err ? err : transfer(thief, TP_READ, handle, 0);
}

/* Uses the kind of data connection that the client has. */
static int do_thief(struct client *client, const char *unused UNUSED)
{
	static struct client thief;
	int err;

	if (!client->conn || !client->count)
		return -ENOTCONN;
	err = client_open(&thief, client->where);
	if (!err)
		err = greet(&thief);
	if (!err)
		err = connect_data(&thief, tp_kind(client->tp));
	if (err)
		return err;
	err = try_key(&thief, &client->slabs[0]);
	if (!err)
		return -ENOTRECOVERABLE;
	printf("refused: %s\n", strerror(-err));
	return 0;
}

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
		err = await(child, WIRE_GRANT, &message);
	for (unsigned i = 0; i < message.grant.count && !err; i++) {
		keep(child, &message.grant.slabs[i]);
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
		err = greet(client);
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
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		if (n > sizeof(buffer) || sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return -EINVAL;
		buffer[i] = (uint8_t)byte;
	}
	if (send(client->channel.fd, buffer, n, MSG_NOSIGNAL) != (ssize_t)n)
		return -errno;
	printf("sent %zu bytes\n", n);
	return 0;
}

static int do_knock(struct client *client, const char *number)
{
	unsigned n = (unsigned)strtoul(number, NULL, 10);

	for (unsigned i = 0; i < n; i++) {
		int fd = dial(client->where);

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
		int fd = dial(client->where);

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
