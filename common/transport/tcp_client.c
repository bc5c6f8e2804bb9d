#include "common/transport/tcp_conn.h"

#include "common/base/clock.h"
#include "common/transport/dial.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static struct tcp_conn *tcp_of(struct tp_conn *conn)
{
	return CONTAINER_OF(conn, struct tcp_conn, base);
}

static int tcp_open(const struct tp_options *options, struct tp **out)
{
	return tp_plain_open(&tp_tcp_client, TP_TCP, options, out);
}

/* ---- connecting ---- */

static void conn_free(struct tcp_conn *conn)
{
	const struct tp_options *options = &conn->base.tp->options;
	size_t ring = conn->mask + 1;

	remotes_destroy(&conn->remotes, options);
	tp_free(options, conn->requests, ring * TCP_REQUEST_BYTES);
	tp_free(options, conn->slots, ring * sizeof(*conn->slots));
	tp_free(options, conn, sizeof(*conn));
}

static int conn_new(struct tp *tp, struct tcp_conn **out)
{
	struct tcp_conn *conn;
	size_t ring;

	conn = tp_alloc(&tp->options, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->base.ops = tp->ops;
	conn->base.tp = tp;
	conn->depth = tp->options.depth;
	ring = tp_ring_size(conn->depth);
	conn->mask = (uint32_t)ring - 1;
	remotes_init(&conn->remotes);
	conn->slots = tp_alloc(&tp->options, ring * sizeof(*conn->slots));
	conn->requests = tp_alloc(&tp->options, ring * TCP_REQUEST_BYTES);
	if (!conn->slots || !conn->requests) {
		conn_free(conn);
		return -ENOMEM;
	}
	*out = conn;
	return 0;
}

static int tcp_connect(struct tp *tp, const struct tp_target *target, struct tp_conn **out)
{
	uint64_t deadline = clock_ns() + tp->options.connect_timeout_ms * 1000000ull;
	struct tcp_conn *conn;
	int err;

	err = conn_new(tp, &conn);
	if (err)
		return err;
	err = target->address ? dial_address(target->address, deadline, &conn->fd)
			      : dial_tcp(target->host, target->port, deadline, &conn->fd);
	if (err)
		goto err_free;
	err = dial_hello(conn->fd, TP_TCP_MAGIC, target->token, deadline);
	if (err)
		goto err_close;
	*out = &conn->base;
	return 0;

err_close:
	close(conn->fd);
err_free:
	conn_free(conn);
	return err;
}

static void tcp_disconnect(struct tp_conn *base)
{
	struct tcp_conn *conn = tcp_of(base);

	close(conn->fd);
	conn_free(conn);
}

static int tcp_attach(struct tp_conn *base, const struct tp_remote *remote, uint32_t *handle)
{
	const struct remote entry = {.key = remote->key, .bytes = remote->bytes};

	return remotes_add(&tcp_of(base)->remotes, &base->tp->options, &entry, handle);
}

static void tcp_detach(struct tp_conn *base, uint32_t handle)
{
	remotes_remove(&tcp_of(base)->remotes, handle);
}

/* ---- requests ---- */

/* Puts a request at the end of the ring. What is wrong with it, if it must not be sent. */
static int enqueue(struct tcp_conn *conn, const struct tp_request *from)
{
	uint32_t index = conn->tail++;
	struct tcp_slot *slot = &conn->slots[index & conn->mask];
	struct tcp_request request;
	const struct remote *remote;
	int err;

	slot->local = from->local;
	slot->cookie = from->cookie;
	slot->bytes = from->bytes;
	slot->op = from->op;
	err = remotes_check(&conn->remotes, from, &remote);
	if (err)
		return err;
	request.op = from->op == TP_READ ? TCP_READ : TCP_WRITE;
	request.bytes = from->bytes;
	request.key = remote->key;
	request.offset = from->offset;
	request.cookie = index;
	tcp_request_encode(&request, conn->requests[index & conn->mask]);
	return 0;
}

static int tcp_post(struct tp_conn *base, const struct tp_request *requests, unsigned n)
{
	struct tcp_conn *conn = tcp_of(base);
	unsigned i;
	int err;

	err = atomic_load_explicit(&conn->error, memory_order_relaxed);
	if (err)
		return err;
	for (i = 0; i < n && conn->tail - conn->head < conn->depth; i++) {
		err = enqueue(conn, &requests[i]);
		if (err) {
			tcp_flow_fail(conn, err, conn->tail - 1);
			return (int)i + 1;
		}
	}
	tcp_flow_send(conn);
	return (int)i;
}

/* Takes one finished request off the ring; false if there is none. */
static bool report(struct tcp_conn *conn, struct tp_completion *out)
{
	int err = atomic_load_explicit(&conn->error, memory_order_relaxed);
	bool is_answered = conn->head != conn->answered;

	if (!is_answered && (!err || conn->head == conn->tail))
		return false;
	out->cookie = conn->slots[conn->head & conn->mask].cookie;
	if (is_answered)
		out->status = 0;
	else
		out->status = conn->head == conn->culprit ? err : -ECANCELED;
	conn->head++;
	if (!is_answered)
		conn->answered++;
	return true;
}

static unsigned report_all(struct tcp_conn *conn, struct tp_completion *out, unsigned max)
{
	unsigned n = 0;

	while (n < max && report(conn, &out[n]))
		n++;
	return n;
}

static int tcp_poll(struct tp_conn *base, struct tp_completion *out, unsigned max)
{
	struct tcp_conn *conn = tcp_of(base);
	unsigned n = report_all(conn, out, max);
	bool more;

	if (n == max)
		return (int)n;
	do {
		more = tcp_flow_receive(conn);
		n += report_all(conn, out + n, max - n);
	} while (more && n < max);
	if (conn->sent != conn->tail)
		tcp_flow_send(conn);
	if (n == 0) {
		tcp_flow_check(conn);
		n = report_all(conn, out, max);
	}
	return (int)n;
}

static int tcp_arm(struct tp_conn *base, int *fd, short *events)
{
	struct tcp_conn *conn = tcp_of(base);
	int err = atomic_load_explicit(&conn->error, memory_order_relaxed);

	if (conn->head != conn->answered || (err && conn->head != conn->tail))
		return -EAGAIN;
	if (err)
		return err;
	*fd = conn->fd;
	*events = conn->sent != conn->tail ? POLLIN | POLLOUT : POLLIN;
	return 0;
}

static int tcp_error(const struct tp_conn *base)
{
	const struct tcp_conn *conn = (const struct tcp_conn *)base;

	return atomic_load_explicit(&conn->error, memory_order_relaxed);
}

static unsigned tcp_descriptors(const struct tp_conn *base, int out[TP_MAX_DESCRIPTORS])
{
	out[0] = ((const struct tcp_conn *)base)->fd;
	return 1;
}

const struct tp_client_ops tp_tcp_client = {
	.open = tcp_open,
	.close = tp_plain_close,
	.reg = tp_plain_register,
	.connect = tcp_connect,
	.disconnect = tcp_disconnect,
	.attach = tcp_attach,
	.detach = tcp_detach,
	.post = tcp_post,
	.poll = tcp_poll,
	.arm = tcp_arm,
	.error = tcp_error,
	.descriptors = tcp_descriptors,
};
