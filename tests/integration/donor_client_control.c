#include "tests/integration/donor_client.h"

#include "common/base/clock.h"
#include "common/base/parse.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

int client_dial(const char *where)
{
	return strncmp(where, "unix:", 5) ? dial_tcp(where) : dial_local(where + 5);
}

int client_open(struct client *client, const char *where)
{
	int fd = client_dial(where);

	if (fd < 0)
		return fd;
	client->where = where;
	channel_open(&client->channel, fd);
	return 0;
}

/* ---- control ---- */

int client_await(struct client *client, uint16_t type, struct wire_message *out)
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

int client_greet(struct client *client)
{
	struct wire_message message;
	int err = send_hello(client, WIRE_VERSION, WIRE_VERSION);

	if (!err)
		err = client_await(client, WIRE_WELCOME, &message);
	if (!err)
		client->welcome = message.welcome;
	return err;
}

int do_hello(struct client *client, const char *versions)
{
	const struct wire_welcome *welcome = &client->welcome;
	unsigned low, high;
	int err;

	if (versions && sscanf(versions, "%u-%u", &low, &high) == 2) {
		puts("said hello");
		return send_hello(client, low, high);
	}
	err = client_greet(client);
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

int do_ask(struct client *client, const char *number)
{
	printf("asked %s\n", number);
	return send_lease(client, number);
}

void client_keep(struct client *client, const struct wire_slab *slab)
{
	client->names[client->count] = slab->key;
	client->slabs[client->count++] = (struct tp_remote){
		.key = slab->key,
		.bytes = client->welcome.slab_bytes,
		.address = slab->address,
		.rkey = slab->rkey,
	};
}

int do_lease(struct client *client, const char *number)
{
	struct wire_message message;
	int err = send_lease(client, number);

	if (!err)
		err = client_await(client, WIRE_GRANT, &message);
	if (err)
		return err;
	if (message.grant.request != client->requests ||
	    client->count + message.grant.count > MAX_KEYS)
		return -EPROTO;
	for (unsigned i = 0; i < message.grant.count; i++)
		client_keep(client, &message.grant.slabs[i]);
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

int do_return(struct client *client, const char *number)
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

int client_renew(struct client *client, struct wire_message *message)
{
	int err;

	message->type = WIRE_RENEW;
	err = channel_send(&client->channel, message);
	return err ? err : client_await(client, WIRE_RENEWED, message);
}

int do_renew(struct client *client, const char *unused UNUSED)
{
	struct wire_message message;
	int err = client_renew(client, &message);

	if (!err)
		printf("renewed free=%llu\n", (unsigned long long)message.renewed.slabs_free);
	return err;
}

int do_expect(struct client *client, const char *unused UNUSED)
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

int do_bye(struct client *client, const char *unused UNUSED)
{
	struct wire_message message = {.type = WIRE_BYE};

	puts("bye");
	return channel_send(&client->channel, &message);
}
