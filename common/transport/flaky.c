#include "common/transport/flaky.h"

#include "common/base/clock.h"
#include "common/transport/ops.h"

#include <errno.h>
#include <stdatomic.h>

/*
 * A request gets a slot; the number of the slot is its cookie below. A slot is FREE, BELOW (the
 * inner connection has it), or HELD (complete there, not yet reported here).
 */
enum slot_state { FREE, BELOW, HELD };

struct slot {
	enum slot_state state;
	int status;	 /* HELD */
	uint64_t due_ns; /* HELD: not to be reported before */
	uint64_t cookie; /* the caller's */
};

struct flaky_tp {
	struct tp base;
	struct tp *inner;
	struct tp_flaky_options options;
	_Atomic uint64_t requests, connects, posts;
};

struct flaky_conn {
	struct tp_conn base;
	struct tp_conn *inner; /* NULL after a failure of our making */
	_Atomic int error;
	unsigned depth, in_flight;
	uint64_t random;
	struct slot *slots;
};

static const struct tp_client_ops flaky_client;

static struct flaky_tp *flaky_of(struct tp *tp)
{
	return CONTAINER_OF(tp, struct flaky_tp, base);
}

static struct flaky_conn *conn_of(struct tp_conn *conn)
{
	return CONTAINER_OF(conn, struct flaky_conn, base);
}

static const struct tp_flaky_options *options_of(const struct flaky_conn *conn)
{
	return &flaky_of(conn->base.tp)->options;
}

/* ---- opening ---- */

int tp_flaky_wrap(struct tp *inner, const struct tp_flaky_options *options, struct tp **out)
{
	struct flaky_tp *tp;

	tp = tp_alloc(&inner->options, sizeof(*tp));
	if (!tp)
		return -ENOMEM;
	tp->base.ops = &flaky_client;
	tp->base.kind = inner->kind;
	tp->base.options = inner->options;
	tp->inner = inner;
	tp->options = *options;
	if (!tp->options.fail_status)
		tp->options.fail_status = -EIO;
	*out = &tp->base;
	return 0;
}

static void flaky_close(struct tp *base)
{
	struct flaky_tp *tp = flaky_of(base);
	struct tp_options options = base->options;

	tp_close(tp->inner);
	tp_free(&options, tp, sizeof(*tp));
}

static int flaky_register(struct tp *base, void *memory, size_t bytes)
{
	return tp_register(flaky_of(base)->inner, memory, bytes);
}

static int flaky_connect(struct tp *base, const struct tp_target *target, struct tp_conn **out)
{
	struct flaky_tp *tp = flaky_of(base);
	struct flaky_conn *conn;
	int err;

	if (atomic_fetch_add(&tp->connects, 1) + 1 == tp->options.refuse_at)
		return -ECONNREFUSED;
	conn = tp_alloc(&base->options, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->base.ops = base->ops;
	conn->base.tp = base;
	conn->depth = base->options.depth;
	conn->random = tp->options.seed;
	conn->slots = tp_alloc(&base->options, conn->depth * sizeof(*conn->slots));
	if (!conn->slots) {
		err = -ENOMEM;
		goto err_conn;
	}
	err = tp_connect(tp->inner, target, &conn->inner);
	if (err)
		goto err_slots;
	*out = &conn->base;
	return 0;

err_slots:
	tp_free(&base->options, conn->slots, conn->depth * sizeof(*conn->slots));
err_conn:
	tp_free(&base->options, conn, sizeof(*conn));
	return err;
}

static void flaky_disconnect(struct tp_conn *base)
{
	struct flaky_conn *conn = conn_of(base);
	const struct tp_options *options = &base->tp->options;

	tp_disconnect(conn->inner);
	tp_free(options, conn->slots, conn->depth * sizeof(*conn->slots));
	tp_free(options, conn, sizeof(*conn));
}

static int flaky_attach(struct tp_conn *base, const struct tp_remote *remote, uint32_t *handle)
{
	struct flaky_conn *conn = conn_of(base);

	return conn->inner ? tp_attach(conn->inner, remote, handle) : -ECONNRESET;
}

static void flaky_detach(struct tp_conn *base, uint32_t handle)
{
	struct flaky_conn *conn = conn_of(base);

	if (conn->inner)
		tp_detach(conn->inner, handle);
}

/* ---- slots ---- */

static struct slot *slot_take(struct flaky_conn *conn, uint64_t cookie)
{
	unsigned i;

	for (i = 0; conn->slots[i].state != FREE; i++)
		continue;
	conn->slots[i].state = BELOW;
	conn->slots[i].cookie = cookie;
	conn->in_flight++;
	return &conn->slots[i];
}

static void slot_give(struct flaky_conn *conn, struct slot *slot)
{
	slot->state = FREE;
	conn->in_flight--;
}

static void hold(struct flaky_conn *conn, struct slot *slot, int status)
{
	slot->state = HELD;
	slot->status = status;
	slot->due_ns = 0;
	if (options_of(conn)->delay_us)
		slot->due_ns = clock_ns() + options_of(conn)->delay_us * 1000ull;
}

/*
 * A failure of our own making. Disconnecting below makes all buffers the caller's again, so that
 * every request can be reported.
 */
static void fail(struct flaky_conn *conn, struct slot *culprit, int err)
{
	unsigned i;

	tp_disconnect(conn->inner);
	conn->inner = NULL;
	atomic_store(&conn->error, err);
	for (i = 0; i < conn->depth; i++) {
		if (conn->slots[i].state == BELOW)
			hold(conn, &conn->slots[i], &conn->slots[i] == culprit ? err : -ECANCELED);
	}
}

/* ---- requests ---- */

/* What is to become of the next request: 0, or the errno of the fault that hits it. */
static int next_fault(struct flaky_tp *tp)
{
	uint64_t n = atomic_fetch_add(&tp->requests, 1) + 1;

	if (n == tp->options.fail_at)
		return tp->options.fail_status;
	return n == tp->options.drop_at ? -ECONNRESET : 0;
}

/* 1 accepted, 0 full, or the errno that ended the connection below. */
static int post_one(struct flaky_conn *conn, const struct tp_request *request)
{
	struct slot *slot = slot_take(conn, request->cookie);
	struct tp_request below = *request;
	int n;

	below.cookie = (uint64_t)(slot - conn->slots);
	n = tp_post(conn->inner, &below, 1);
	if (n != 1) {
		slot_give(conn, slot);
		return n;
	}
	n = next_fault(flaky_of(conn->base.tp));
	if (n)
		fail(conn, slot, n);
	return 1;
}

static unsigned room(struct flaky_conn *conn, unsigned n)
{
	struct flaky_tp *tp = flaky_of(conn->base.tp);
	uint64_t post = atomic_fetch_add(&tp->posts, 1) + 1;

	if (tp->options.full_every && post % tp->options.full_every == 0)
		return 0;
	if (tp->options.most_a_post && n > tp->options.most_a_post)
		n = tp->options.most_a_post;
	return n < conn->depth - conn->in_flight ? n : conn->depth - conn->in_flight;
}

static int flaky_post(struct tp_conn *base, const struct tp_request *requests, unsigned n)
{
	struct flaky_conn *conn = conn_of(base);
	unsigned i, most;
	int got;

	if (!conn->inner)
		return atomic_load(&conn->error);
	most = room(conn, n);
	for (i = 0; i < most && conn->inner; i++) {
		got = post_one(conn, &requests[i]);
		if (got < 0 && i == 0)
			return got;
		if (got < 1)
			break;
	}
	return (int)i;
}

static void collect(struct flaky_conn *conn)
{
	struct tp_completion done[64];
	int i, n;

	if (!conn->inner)
		return;
	do {
		n = tp_poll(conn->inner, done, ARRAY_LEN(done));
		for (i = 0; i < n; i++)
			hold(conn, &conn->slots[done[i].cookie], done[i].status);
	} while (n == (int)ARRAY_LEN(done));
}

/* xorshift64star; any seed will do. */
static uint64_t next_random(struct flaky_conn *conn)
{
	uint64_t x = conn->random | 1;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	conn->random = x;
	return x * 0x2545f4914f6cdd1du;
}

static bool is_due(const struct slot *slot, uint64_t now)
{
	return slot->state == HELD && slot->due_ns <= now;
}

static unsigned count_due(const struct flaky_conn *conn, uint64_t now)
{
	unsigned i, n = 0;

	for (i = 0; i < conn->depth; i++)
		n += is_due(&conn->slots[i], now);
	return n;
}

/* The completion to report next, or NULL. */
static struct slot *pick(struct flaky_conn *conn, uint64_t now)
{
	unsigned i, n = count_due(conn, now), skip = 0;

	if (n > 1 && options_of(conn)->reorder)
		skip = (unsigned)(next_random(conn) % n);
	for (i = 0; i < conn->depth; i++) {
		if (is_due(&conn->slots[i], now) && skip-- == 0)
			return &conn->slots[i];
	}
	return NULL;
}

static int flaky_poll(struct tp_conn *base, struct tp_completion *out, unsigned max)
{
	struct flaky_conn *conn = conn_of(base);
	uint64_t now = options_of(conn)->delay_us ? clock_ns() : 0;
	struct slot *slot;
	unsigned n = 0;

	collect(conn);
	while (n < max && (slot = pick(conn, now))) {
		out[n].cookie = slot->cookie;
		out[n++].status = slot->status;
		slot_give(conn, slot);
	}
	return (int)n;
}

/* What is held back can only be waited for by polling: nobody would wake a sleeper for it. */
static int flaky_arm(struct tp_conn *base, int *fd, short *events)
{
	struct flaky_conn *conn = conn_of(base);
	unsigned i;

	for (i = 0; i < conn->depth; i++) {
		if (conn->slots[i].state == HELD)
			return -EAGAIN;
	}
	return conn->inner ? tp_arm(conn->inner, fd, events) : atomic_load(&conn->error);
}

static int flaky_error(const struct tp_conn *base)
{
	const struct flaky_conn *conn = (const struct flaky_conn *)base;
	int err = atomic_load(&conn->error);

	return err || !conn->inner ? err : tp_error(conn->inner);
}

static unsigned flaky_descriptors(const struct tp_conn *base, int out[TP_MAX_DESCRIPTORS])
{
	const struct flaky_conn *conn = (const struct flaky_conn *)base;

	return conn->inner ? tp_descriptors(conn->inner, out) : 0;
}

/* No `open`: a wrapper is made by tp_flaky_wrap(). */
static const struct tp_client_ops flaky_client = {
	.close = flaky_close,
	.reg = flaky_register,
	.connect = flaky_connect,
	.disconnect = flaky_disconnect,
	.attach = flaky_attach,
	.detach = flaky_detach,
	.post = flaky_post,
	.poll = flaky_poll,
	.arm = flaky_arm,
	.error = flaky_error,
	.descriptors = flaky_descriptors,
};
