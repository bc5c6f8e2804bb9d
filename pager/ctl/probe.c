#include "pager/ctl/probe.h"

#include "common/base/clock.h"
#include "common/base/spin.h"
#include "common/transport/dial.h"
#include "common/wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For each step. The default of the transports, and short enough to wait for at a terminal. */
#define STEP_NS 2000000000u
/* The engine watches the wire so long before it sleeps; what sleeps at once measures the scheduler.
 */
#define SPIN_NS 50000u
/* Read over and over: the first look at a page of a fresh slab makes the donor allocate it. */
#define WARM_PAGES 64

/* ---- control channel ---- */

static int dial(const struct config_donor *donor, struct channel *channel)
{
	uint64_t deadline = clock_ns() + STEP_NS;
	int err;
	int fd;

	if (donor->path[0])
		err = dial_unix(donor->path, deadline, &fd);
	else
		err = dial_tcp(donor->host, donor->port, deadline, &fd);
	if (err)
		return err;
	channel_open(channel, fd);
	return 0;
}

/* "8d0a…-…": the hexadecimal digits of the boot id, as 16 bytes. All zero if it cannot be read. */
static void read_host_id(uint8_t out[WIRE_HOST_ID_BYTES])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	unsigned byte;
	size_t n;

	memset(out, 0, WIRE_HOST_ID_BYTES);
	if (!file)
		return;
	for (n = 0; n < WIRE_HOST_ID_BYTES && fscanf(file, "%*[-]") != EOF; n++) {
		if (fscanf(file, "%2x", &byte) != 1)
			break;
		out[n] = (uint8_t)byte;
	}
	fclose(file);
}

/* Waits for a message of one type. -ECONNREFUSED with the refusal set if the donor says no. */
static int expect(struct channel *channel, uint16_t type, struct wire_message *message,
		  struct wire_error *refusal)
{
	int n;

	do {
		n = channel_wait(channel, clock_ns() + STEP_NS, message);
		if (n < 0)
			return n;
		if (message->type == WIRE_ERROR) {
			*refusal = message->error;
			return -ECONNREFUSED;
		}
	} while (message->type == WIRE_RENEWED);
	return message->type == type ? 0 : -EPROTO;
}

static int say_hello(struct channel *channel, struct wire_message *message, struct probe *out)
{
	int err;

	memset(message, 0, sizeof(*message));
	message->type = WIRE_HELLO;
	message->hello.version = WIRE_VERSION;
	message->hello.min_version = WIRE_VERSION;
	message->hello.pid = (uint32_t)getpid();
	strcpy(message->hello.name, "pagerctl");
	read_host_id(message->hello.host_id);
	err = channel_send_magic(channel);
	if (err)
		return err;
	err = channel_send(channel, message);
	if (err)
		return err;
	err = expect(channel, WIRE_WELCOME, message, &out->refusal);
	if (err)
		return err;
	out->welcome = message->welcome;
	return 0;
}

/* Nobody waits for more than one slab. -ENOSPC if there is none. */
static int lease(struct channel *channel, struct wire_message *message, struct probe *out,
		 struct wire_slab *slab)
{
	int err;

	memset(message, 0, sizeof(*message));
	message->type = WIRE_LEASE;
	message->lease.request = 1;
	message->lease.slabs = 1;
	err = channel_send(channel, message);
	if (err)
		return err;
	err = expect(channel, WIRE_GRANT, message, &out->refusal);
	if (err)
		return err;
	if (!message->grant.count)
		return -ENOSPC;
	*slab = message->grant.slabs[0];
	return 0;
}

/* The donor takes the slab back when the session says goodbye, or when it ends without. */
static void say_goodbye(struct channel *channel, struct wire_message *message)
{
	memset(message, 0, sizeof(*message));
	message->type = WIRE_BYE;
	if (channel_send(channel, message) == 0)
		(void)!channel_flush(channel);
}

/* ---- data connection ---- */

/* As the transports want it: watch for a moment, then sleep. */
static int wait_done(struct tp_conn *conn)
{
	uint64_t start = clock_ns();
	struct tp_completion done;
	struct pollfd wait;
	int n;

	for (;;) {
		n = tp_poll(conn, &done, 1);
		if (n < 0)
			return n;
		if (n)
			return done.status;
		if (clock_ns() - start > STEP_NS)
			return -ETIMEDOUT;
		if (clock_ns() - start < SPIN_NS) {
			spin_pause();
			continue;
		}
		if (tp_arm(conn, &wait.fd, &wait.events) == 0)
			poll(&wait, 1, 100);
	}
}

static int read_pages(struct tp_conn *conn, uint32_t handle, void *buffer, struct hist *round_trip)
{
	uint64_t stop = clock_ns() + STEP_NS;
	struct tp_request request = {
		.op = TP_READ, .handle = handle, .local = buffer, .bytes = PAGE_BYTES};
	unsigned i;
	int err;

	for (i = 0; i < PROBE_READS; i++) {
		uint64_t start = clock_ns();

		if (start > stop)
			return 0; /* a slow wire: enough to tell how slow */
		request.offset = i % WARM_PAGES * PAGE_BYTES;
		err = tp_post(conn, &request, 1);
		if (err < 0)
			return err;
		if (err == 0)
			return -EPROTO; /* an idle connection always has room for one */
		err = wait_done(conn);
		if (err)
			return err;
		hist_add(round_trip, clock_ns() - start);
	}
	return 0;
}

static int measure(struct tp *tp, const struct tp_target *target, const struct wire_slab *slab,
		   struct probe *out)
{
	struct tp_remote remote = {.key = slab->key,
				   .bytes = out->welcome.slab_bytes,
				   .address = slab->address,
				   .rkey = slab->rkey};
	struct tp_conn *conn;
	uint32_t handle;
	void *buffer;
	int err;

	buffer = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	if (!buffer)
		return -ENOMEM;
	err = tp_register(tp, buffer, PAGE_BYTES);
	if (err)
		goto out_free;
	err = tp_connect(tp, target, &conn);
	if (err)
		goto out_free;
	err = tp_attach(conn, &remote, &handle);
	if (err)
		goto out_disconnect;
	err = read_pages(conn, handle, buffer, &out->round_trip);
	tp_detach(conn, handle);
out_disconnect:
	tp_disconnect(conn);
out_free:
	free(buffer);
	return err;
}

static int try_kind(enum tp_kind kind, const struct config_donor *donor,
		    const struct wire_slab *slab, struct probe *out)
{
	struct tp_target target = {.host = donor->host[0] ? donor->host : "127.0.0.1",
				   .port = out->welcome.data_port,
				   .path = out->welcome.local_path};
	struct tp *tp;
	int err;

	out->kind = kind;
	memset(&out->round_trip, 0, sizeof(out->round_trip));
	memcpy(target.token, out->welcome.token, sizeof(target.token));
	err = tp_open(kind, NULL, &tp);
	if (err)
		return err;
	err = measure(tp, &target, slab, out);
	tp_close(tp);
	return err;
}

static bool is_this_host(const struct wire_welcome *welcome)
{
	uint8_t ours[WIRE_HOST_ID_BYTES];

	read_host_id(ours);
	return welcome->local_path[0] && memcmp(ours, welcome->host_id, sizeof(ours)) == 0;
}

/* What the store does: shm to a donor on this host, tcp to others and where shm does not work. */
static int try_kinds(const struct config_donor *donor, enum config_transport transport,
		     const struct wire_slab *slab, struct probe *out)
{
	bool is_local = is_this_host(&out->welcome);

	if (transport == CONFIG_SHM && !is_local)
		return -ENOTSUP;
	if (transport == CONFIG_SHM)
		return try_kind(TP_SHM, donor, slab, out);
	if (transport == CONFIG_AUTO && is_local && try_kind(TP_SHM, donor, slab, out) == 0)
		return 0;
	return try_kind(TP_TCP, donor, slab, out);
}

/* ---- all of it ---- */

static int probe_session(struct channel *channel, struct wire_message *message,
			 const struct config_donor *donor, enum config_transport transport,
			 struct probe *out)
{
	struct wire_slab slab;
	int err;

	out->step = PROBE_HELLO;
	err = say_hello(channel, message, out);
	if (err)
		return err;
	out->step = PROBE_LEASE;
	err = lease(channel, message, out, &slab);
	if (err)
		return err;
	out->step = PROBE_DATA;
	err = try_kinds(donor, transport, &slab, out);
	say_goodbye(channel, message);
	if (!err)
		out->step = PROBE_DONE;
	return err;
}

/* Channel and message are large, and a stack is not. */
struct session {
	struct channel channel;
	struct wire_message message;
};

void probe_donor(const struct config_donor *donor, enum config_transport transport,
		 struct probe *out)
{
	struct session *session = calloc(1, sizeof(*session));

	memset(out, 0, sizeof(*out));
	out->step = PROBE_CONNECT;
	if (!session) {
		out->err = -ENOMEM;
		return;
	}
	out->err = dial(donor, &session->channel);
	if (!out->err) {
		out->err =
			probe_session(&session->channel, &session->message, donor, transport, out);
		channel_close(&session->channel);
	}
	free(session);
}
