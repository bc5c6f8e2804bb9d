#include "pager/ctl/probe.h"

#include "common/base/clock.h"
#include "common/base/spin.h"
#include "pager/reason.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As long as the engine waits at its start. */
#define STEP_NS 2000000000u
/* Over that for what cannot be interrupted: looking up a name. */
#define PATIENCE_NS 6000000000u
#define LOOK_MS 2
/* The engine watches the wire so long before it sleeps; to sleep at once would time the scheduler.
 */
#define SPIN_NS 50000u
/* Read over and over: the first look at a page of a fresh slab makes the donor allocate it. */
#define WARM_PAGES 64

/* All that an attempt needs until it ends. Large, so not on the stack. */
struct asking {
	struct attempt attempt;
	struct channel channel;
	struct wire_message message;
	struct config_donor donor;
	struct transports transports;
};

static int fail(struct probe *out, enum probe_result result, int err)
{
	char reason[REASON_BYTES];

	out->result = result;
	out->err = err;
	snprintf(out->why, sizeof(out->why), "%s", reason_text(err, reason));
	return err;
}

/* ---- control channel ---- */

/* Waits for the grant and passes over what else a donor may say in between. */
static int await_grant(struct asking *asking)
{
	uint64_t deadline = clock_ns() + STEP_NS;
	int n;

	do {
		n = channel_wait(&asking->channel, deadline, &asking->message);
		if (n < 0)
			return n;
		if (asking->message.type == WIRE_ERROR)
			return -ECONNREFUSED;
	} while (asking->message.type != WIRE_GRANT);
	return 0;
}

/* -ENOSPC if there is none. */
static int lease_slab(struct asking *asking, struct tp_remote *out)
{
	struct wire_message *message = &asking->message;
	int err;

	memset(message, 0, sizeof(*message));
	message->type = WIRE_LEASE;
	message->lease.request = 1;
	message->lease.slabs = 1;
	err = channel_send(&asking->channel, message);
	if (err)
		return err;
	err = await_grant(asking);
	if (err)
		return err;
	if (!message->grant.count)
		return -ENOSPC;
	out->key = message->grant.slabs[0].key;
	out->address = message->grant.slabs[0].address;
	out->rkey = message->grant.slabs[0].rkey;
	out->bytes = asking->attempt.welcome.slab_bytes;
	return 0;
}

/* The donor hangs up once it has its slab back, so that whoever asks next finds it free. */
static void say_goodbye(struct asking *asking)
{
	uint64_t deadline = clock_ns() + STEP_NS;

	memset(&asking->message, 0, sizeof(asking->message));
	asking->message.type = WIRE_BYE;
	if (channel_send(&asking->channel, &asking->message))
		return;
	while (channel_wait(&asking->channel, deadline, &asking->message) > 0)
		;
}

/* ---- data connection ---- */

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
		if (clock_ns() - start < SPIN_NS)
			spin_pause();
		else if (tp_arm(conn, &wait.fd, &wait.events) == 0)
			poll(&wait, 1, LOOK_MS);
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

static int measure(struct asking *asking, const struct tp_remote *remote, struct hist *round_trip)
{
	struct tp_conn *conn = asking->attempt.conns[STORE_READS];
	uint32_t handle;
	void *buffer;
	int err;

	buffer = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	if (!buffer)
		return -ENOMEM;
	err = transports_register(&asking->transports, buffer, PAGE_BYTES);
	if (err)
		goto out_free;
	err = tp_attach(conn, remote, &handle);
	if (err)
		goto out_free;
	err = read_pages(conn, handle, buffer, round_trip);
	if (!err)
		tp_detach(conn, handle); /* after an error it ends with the connection */
out_free:
	free(buffer);
	return err;
}

/* ---- the attempt ---- */

static void wake_nobody(void *arg UNUSED)
{
}

static bool await_attempt(struct attempt *attempt)
{
	uint64_t deadline = clock_ns() + PATIENCE_NS;

	attempt_want(attempt);
	while (!attempt_attend(attempt)) {
		if (clock_ns() > deadline)
			return false;
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

static void talk(struct asking *asking, struct probe *out)
{
	struct tp_remote remote;
	unsigned lane;
	int err;

	out->welcome = asking->attempt.welcome;
	out->kind = asking->attempt.kind;
	err = lease_slab(asking, &remote);
	if (!err)
		err = measure(asking, &remote, &out->round_trip);
	if (err)
		fail(out, err == -ENOSPC ? PROBE_FULL : PROBE_BROKEN, err);
	for (lane = 0; lane < STORE_LANES; lane++)
		tp_disconnect(asking->attempt.conns[lane]);
	say_goodbye(asking);
	channel_close(&asking->channel);
}

/* Returns whether `asking` may be freed: a look-up of a name that hangs still needs it. */
static bool ask(struct asking *asking, struct probe *out)
{
	if (!await_attempt(&asking->attempt)) {
		fail(out, PROBE_NO_ANSWER, -ETIMEDOUT);
		return attempt_abandon(&asking->attempt);
	}
	attempt_collect(&asking->attempt);
	if (asking->attempt.err) {
		fail(out, PROBE_AWAY, asking->attempt.err);
		snprintf(out->why, sizeof(out->why), "%s", asking->attempt.why);
	} else {
		talk(asking, out);
	}
	return true;
}

static void prepare(struct asking *asking, const struct config_donor *donor,
		    enum config_transport transport)
{
	asking->donor = *donor;
	asking->attempt.donor = &asking->donor;
	asking->attempt.transport = transport;
	asking->attempt.transports = &asking->transports;
	asking->attempt.channel = &asking->channel;
	asking->attempt.deadline_ns = clock_ns() + STEP_NS;
	asking->attempt.wake = wake_nobody;
}

void probe_donor(const struct config_donor *donor, enum config_transport transport,
		 struct probe *out)
{
	struct asking *asking = calloc(1, sizeof(*asking));
	int err;

	memset(out, 0, sizeof(*out));
	err = asking ? transports_open(&asking->transports, NULL) : -ENOMEM;
	if (err) {
		fail(out, PROBE_AWAY, err);
		goto out_free;
	}
	prepare(asking, donor, transport);
	if (!ask(asking, out))
		return;
	transports_close(&asking->transports);
out_free:
	free(asking);
}
