#include "tests/integration/donor_client.h"

#include "common/base/clock.h"
#include "common/base/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static uint8_t buffer[TP_MAX_BYTES];

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

int do_data(struct client *client, const char *kind_name)
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
	err = client_renew(client, &message);
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

int do_zeros(struct client *client, const char *unused UNUSED)
{
	return pass_over_all(client, PASS_ZEROS, "zeros");
}

int do_write(struct client *client, const char *unused UNUSED)
{
	return pass_over_all(client, PASS_WRITE, "wrote");
}

int do_check(struct client *client, const char *unused UNUSED)
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
int do_thief(struct client *client, const char *unused UNUSED)
{
	static struct client thief;
	int err;

	if (!client->conn || !client->count)
		return -ENOTCONN;
	err = client_open(&thief, client->where);
	if (!err)
		err = client_greet(&thief);
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
