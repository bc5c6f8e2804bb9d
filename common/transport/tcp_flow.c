#include "common/transport/tcp_conn.h"

#include "common/base/clock.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * A donor that keeps its connection and does not answer is given up after as long as it takes a
 * lease to expire: whoever waits longer waits for memory that is no longer his.
 */
#define ANSWER_NS 10000000000u
/* How often an idle connection is asked whether the peer is still there. */
#define CHECK_NS 1000000u

static bool transient(int err)
{
	return err == EAGAIN || err == EINTR || err == ENOBUFS;
}

void tcp_flow_fail(struct tcp_conn *conn, int err, uint32_t culprit)
{
	if (atomic_load_explicit(&conn->error, memory_order_relaxed))
		return;
	conn->culprit = culprit;
	atomic_store_explicit(&conn->error, err, memory_order_relaxed);
	/* The donor must not go on with what nobody waits for. */
	shutdown(conn->fd, SHUT_RDWR);
}

static bool failed(const struct tcp_conn *conn)
{
	return atomic_load_explicit(&conn->error, memory_order_relaxed) != 0;
}

static struct tcp_slot *slot_at(const struct tcp_conn *conn, uint32_t index)
{
	return &conn->slots[index & conn->mask];
}

/* ---- sending ---- */

static size_t request_bytes(const struct tcp_slot *slot)
{
	return TCP_REQUEST_BYTES + (slot->op == TP_WRITE ? slot->bytes : 0);
}

/* Adds a piece; headers of consecutive READs lie side by side and become one. */
static unsigned add_piece(struct iovec *iov, unsigned n, void *base, size_t len)
{
	if (n > 0 && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == base) {
		iov[n - 1].iov_len += len;
		return n;
	}
	iov[n] = (struct iovec){.iov_base = base, .iov_len = len};
	return n + 1;
}

static unsigned send_pieces(const struct tcp_conn *conn, struct iovec *iov)
{
	size_t skip = conn->sent_bytes;
	uint32_t i, end = conn->tail;
	unsigned n = 0;

	if (end - conn->sent > TCP_SEND_BATCH)
		end = conn->sent + TCP_SEND_BATCH;
	for (i = conn->sent; i != end; i++) {
		struct tcp_slot *slot = slot_at(conn, i);

		if (skip < TCP_REQUEST_BYTES) {
			n = add_piece(iov, n, conn->requests[i & conn->mask] + skip,
				      TCP_REQUEST_BYTES - skip);
			skip = TCP_REQUEST_BYTES;
		}
		if (slot->op == TP_WRITE)
			n = add_piece(iov, n, (uint8_t *)slot->local + (skip - TCP_REQUEST_BYTES),
				      request_bytes(slot) - skip);
		skip = 0;
	}
	return n;
}

static void count_sent(struct tcp_conn *conn, size_t len)
{
	if (conn->answered == conn->sent)
		conn->progress_ns = 0;
	conn->sent_bytes += len;
	while (conn->sent != conn->tail) {
		size_t whole = request_bytes(slot_at(conn, conn->sent));

		if (conn->sent_bytes < whole)
			return;
		conn->sent_bytes -= whole;
		conn->sent++;
	}
}

/* The donor may have said why before it hung up. */
static void send_failed(struct tcp_conn *conn, int err)
{
	while (tcp_flow_receive(conn))
		continue;
	tcp_flow_fail(conn, err == -EPIPE ? -ECONNRESET : err, conn->answered);
}

/* True if all that was offered went, so that more may be worth offering. */
static bool send_some(struct tcp_conn *conn)
{
	struct msghdr message = {.msg_iov = conn->iov};
	size_t offered = 0;
	ssize_t n;
	unsigned i;

	message.msg_iovlen = send_pieces(conn, conn->iov);
	for (i = 0; i < message.msg_iovlen; i++)
		offered += conn->iov[i].iov_len;
	n = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) {
		if (!transient(errno))
			send_failed(conn, -errno);
		return false;
	}
	count_sent(conn, (size_t)n);
	return (size_t)n == offered;
}

void tcp_flow_send(struct tcp_conn *conn)
{
	/* Ends: every turn sends a batch, and there are depth requests at most. */
	while (!failed(conn) && conn->sent != conn->tail) {
		if (!send_some(conn))
			return;
	}
}

/* ---- receiving ---- */

static size_t reply_bytes(const struct tcp_slot *slot)
{
	return TCP_REPLY_BYTES + (slot->op == TP_READ ? slot->bytes : 0);
}

static uint8_t *reply_head(struct tcp_conn *conn, uint32_t index)
{
	return conn->replies[index % TCP_RECEIVE_BATCH];
}

/*
 * Where the next bytes go: what comes is known, if the donor is right. If it is not, some buffer of
 * a READ that is about to fail holds garbage, within its bounds.
 */
static unsigned receive_pieces(struct tcp_conn *conn, struct iovec *iov)
{
	size_t skip = conn->got_bytes;
	uint32_t i, end = conn->sent;
	unsigned n = 0;

	if (end - conn->answered > TCP_RECEIVE_BATCH)
		end = conn->answered + TCP_RECEIVE_BATCH;
	for (i = conn->answered; i != end; i++) {
		struct tcp_slot *slot = slot_at(conn, i);

		if (skip < TCP_REPLY_BYTES) {
			iov[n].iov_base = reply_head(conn, i) + skip;
			iov[n++].iov_len = TCP_REPLY_BYTES - skip;
			skip = TCP_REPLY_BYTES;
		}
		if (slot->op == TP_READ) {
			iov[n].iov_base = (uint8_t *)slot->local + (skip - TCP_REPLY_BYTES);
			iov[n++].iov_len = reply_bytes(slot) - skip;
		}
		skip = 0;
	}
	return n;
}

/* The head of the reply at `answered` is here. */
static int check_head(struct tcp_conn *conn)
{
	const struct tcp_slot *slot = slot_at(conn, conn->answered);
	struct tcp_reply reply;
	int err;

	err = tcp_reply_decode(reply_head(conn, conn->answered), &reply);
	if (err)
		return err;
	if (reply.cookie != conn->answered)
		return -EPROTO;
	err = frame_status_errno(reply.status);
	if (err)
		return err;
	return reply.bytes == reply_bytes(slot) - TCP_REPLY_BYTES ? 0 : -EPROTO;
}

static void count_received(struct tcp_conn *conn, size_t len)
{
	while (len > 0) {
		size_t whole = reply_bytes(slot_at(conn, conn->answered));
		size_t part = whole - conn->got_bytes;
		bool had_head = conn->got_bytes >= TCP_REPLY_BYTES;
		int err;

		if (part > len)
			part = len;
		conn->got_bytes += part;
		len -= part;
		if (!had_head && conn->got_bytes >= TCP_REPLY_BYTES) {
			err = check_head(conn);
			if (err) {
				tcp_flow_fail(conn, err, conn->answered);
				return;
			}
		}
		if (conn->got_bytes == whole) {
			conn->got_bytes = 0;
			conn->answered++;
		}
	}
}

bool tcp_flow_receive(struct tcp_conn *conn)
{
	struct msghdr message = {.msg_iov = conn->iov};
	uint32_t before = conn->answered;
	ssize_t n;

	if (failed(conn) || conn->answered == conn->sent)
		return false;
	message.msg_iovlen = receive_pieces(conn, conn->iov);
	n = recvmsg(conn->fd, &message, MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0)
			tcp_flow_fail(conn, -ECONNRESET, conn->answered);
		else if (!transient(errno))
			tcp_flow_fail(conn, -errno, conn->answered);
		return false;
	}
	conn->progress_ns = 0;
	count_received(conn, (size_t)n);
	return conn->answered - before == TCP_RECEIVE_BATCH;
}

/* ---- watching ---- */

/* Nothing is expected, so whatever can be read is an end or a breach. */
static void check_idle(struct tcp_conn *conn, uint64_t now)
{
	uint8_t byte;
	ssize_t n;

	if (now - conn->checked_ns < CHECK_NS)
		return;
	conn->checked_ns = now;
	n = recv(conn->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
	if (n == 0)
		tcp_flow_fail(conn, -ECONNRESET, conn->tail);
	else if (n > 0)
		tcp_flow_fail(conn, -EPROTO, conn->tail);
	else if (!transient(errno))
		tcp_flow_fail(conn, -errno, conn->tail);
}

void tcp_flow_check(struct tcp_conn *conn)
{
	uint64_t now;

	if (failed(conn))
		return;
	now = clock_ns();
	if (conn->answered == conn->tail)
		check_idle(conn, now);
	else if (conn->progress_ns == 0)
		conn->progress_ns = now;
	else if (now - conn->progress_ns > ANSWER_NS)
		tcp_flow_fail(conn, -ETIMEDOUT, conn->answered);
}
