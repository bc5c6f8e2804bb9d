#include "common/transport/verbs_conn.h"

#include "common/base/clock.h"
#include "common/transport/verbs_qp.h"
#include "common/transport/verbs_status.h"

#include <errno.h>
#include <poll.h>

/* Completions fetched at once; they lie on the stack. */
#define BATCH 32
/* How often the connection manager is asked while nothing completes: a system call. */
#define CHECK_NS 1000000u
/*
 * The device gives a silent donor up by itself (verbs_qp.c). This is for a device that does not, or
 * that does not flush what it should: half as long again, so as not to be first.
 */
#define ANSWER_NS 15000000000u
#define FLUSH_NS 1000000000u

static int error_of(const struct verbs_conn *conn)
{
	return atomic_load_explicit(&conn->error, memory_order_relaxed);
}

static struct verbs_slot *slot_at(const struct verbs_conn *conn, uint32_t index)
{
	return &conn->slots[index & conn->mask];
}

/* Ends the connection; only the first cause counts. What the device has comes back flushed. */
static void fail(struct verbs_conn *conn, int err)
{
	if (error_of(conn))
		return;
	atomic_store_explicit(&conn->error, err, memory_order_relaxed);
	conn->progress_ns = 0;
	verbs_qp_fail(conn->lib, conn->qp);
}

/* ---- completing ---- */

/* Requests that the device never had are done when it is their turn. */
static void skip_unposted(struct verbs_conn *conn)
{
	while (conn->done != conn->tail && !slot_at(conn, conn->done)->is_posted)
		conn->done++;
}

/* What a request that was not successful completes with: the first one tells the cause. */
static int blame(struct verbs_conn *conn)
{
	if (conn->has_culprit)
		return -ECANCELED;
	conn->has_culprit = true;
	return error_of(conn);
}

static void complete(struct verbs_conn *conn, int status)
{
	/* Flushed before anybody here knew why: the other side has ended the connection. */
	if (status)
		fail(conn, status == -ECANCELED ? -ECONNRESET : status);
	slot_at(conn, conn->done)->status = status ? blame(conn) : 0;
	conn->done++;
	skip_unposted(conn);
}

/* Takes what the device has finished; whether there may be more. */
static bool reap(struct verbs_conn *conn)
{
	struct ibv_wc wcs[BATCH];
	int i, n;

	if (conn->done == conn->tail || !conn->qp)
		return false;
	n = ibv_poll_cq(conn->cq, BATCH, wcs);
	if (n <= 0) {
		if (n < 0)
			fail(conn, -EIO);
		return false;
	}
	conn->is_stale = true;
	conn->progress_ns = 0;
	for (i = 0; i < n; i++)
		complete(conn, verbs_status_of_completion(wcs[i].status));
	return n == BATCH;
}

/* ---- noticing ---- */

/* The connection manager has something to say, and it does so only when a connection is over. */
static void check_events(struct verbs_conn *conn)
{
	struct pollfd pfd = {.fd = conn->events->fd, .events = POLLIN};
	struct verbs_event event;
	int err;

	if (poll(&pfd, 1, 0) <= 0)
		return;
	while ((err = verbs_cm_next(conn->lib, conn->events, &event)) == 0) {
		if (verbs_status_is_end(event.type))
			fail(conn, verbs_status_of_event(event.type, event.status));
	}
	if (err != -EAGAIN) /* after a change of identity: it is the end that cannot be read */
		fail(conn, -ECONNRESET);
}

/* The device keeps what it should give back: without a queue pair it touches no buffer. */
static void give_up(struct verbs_conn *conn)
{
	conn->lib->destroy_qp(conn->qp);
	conn->qp = NULL;
	while (conn->done != conn->tail) {
		slot_at(conn, conn->done)->status = blame(conn);
		conn->done++;
		skip_unposted(conn);
	}
}

static void check_progress(struct verbs_conn *conn, uint64_t now)
{
	if (conn->done == conn->tail)
		return;
	if (conn->progress_ns == 0)
		conn->progress_ns = now;
	else if (!error_of(conn) && now - conn->progress_ns > ANSWER_NS)
		fail(conn, -ETIMEDOUT);
	else if (error_of(conn) && now - conn->progress_ns > FLUSH_NS)
		give_up(conn);
}

static void check(struct verbs_conn *conn)
{
	uint64_t now = clock_ns();

	if (now - conn->checked_ns < CHECK_NS)
		return;
	conn->checked_ns = now;
	if (!error_of(conn))
		check_events(conn);
	check_progress(conn, now);
}

/* ---- posting ---- */

/* Draws the request up as a work request. What is wrong with it, if it must not be posted. */
static int prepare(struct verbs_conn *conn, uint32_t index, const struct tp_request *request)
{
	struct ibv_send_wr *wr = &conn->wrs[index & conn->mask];
	struct ibv_sge *sge = &conn->sges[index & conn->mask];
	const struct remote *remote;
	const struct ibv_mr *mr;
	int err;

	err = remotes_check(&conn->remotes, request, &remote);
	if (err)
		return err;
	mr = verbs_adapter_find(conn->adapter, request->local, request->bytes);
	if (!mr)
		return -EFAULT;
	sge->addr = (uintptr_t)request->local;
	sge->length = request->bytes;
	sge->lkey = mr->lkey;
	wr->wr_id = index;
	wr->next = NULL;
	wr->opcode = request->op == TP_READ ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
	wr->wr.rdma.remote_addr = remote->address + request->offset;
	wr->wr.rdma.rkey = remote->rkey;
	return 0;
}

/*
 * Puts a request at the end of the ring, linked to the one before it if that is of the same batch.
 * What is wrong with it, if it must not be posted.
 */
static int enqueue(struct verbs_conn *conn, const struct tp_request *request, uint32_t first)
{
	uint32_t index = conn->tail;
	struct verbs_slot *slot = slot_at(conn, index);
	int err;

	err = prepare(conn, index, request);
	slot->cookie = request->cookie;
	slot->is_posted = !err;
	slot->status = err;
	if (!err && index != first)
		conn->wrs[(index - 1) & conn->mask].next = &conn->wrs[index & conn->mask];
	conn->tail++;
	return err;
}

/*
 * One doorbell for [first, end). Returns where the accepted ones end. For some devices (rxe) the
 * doorbell is a system call, which the kernel refuses to a thread that has changed its identity
 * since the device was opened. No request is named then: all are in the queue, and may yet be
 * carried out.
 */
static uint32_t ring(struct verbs_conn *conn, uint32_t first, uint32_t end)
{
	struct ibv_send_wr *bad = NULL;
	int err;

	if (first == end)
		return end;
	if (conn->done == first)
		conn->progress_ns = 0;
	err = ibv_post_send(conn->qp, &conn->wrs[first & conn->mask], &bad);
	if (!err)
		return end;
	if (err != ENOMEM)
		fail(conn, err == EACCES ? -EPERM : -err);
	return bad ? (uint32_t)bad->wr_id : end;
}

/* Those before it are the device's already, or it is the first. */
static void refuse(struct verbs_conn *conn, int err)
{
	conn->has_culprit = true;
	fail(conn, err);
	skip_unposted(conn);
}

int verbs_flow_post(struct tp_conn *base, const struct tp_request *requests, unsigned n)
{
	struct verbs_conn *conn = verbs_conn_of(base);
	uint32_t first = conn->tail, posted;
	unsigned i;
	int err;

	err = error_of(conn);
	if (err)
		return err;
	for (i = 0; i < n && conn->tail - conn->head < conn->depth && !err; i++)
		err = enqueue(conn, &requests[i], first);
	posted = ring(conn, first, err ? conn->tail - 1 : conn->tail);
	if (posted != (err ? conn->tail - 1 : conn->tail))
		conn->tail = posted; /* and the one that was wrong is offered again */
	else if (err)
		refuse(conn, err);
	if (conn->tail == first && error_of(conn))
		return error_of(conn);
	return (int)(conn->tail - first);
}

/* ---- polling ---- */

static unsigned report(struct verbs_conn *conn, struct tp_completion *out, unsigned max)
{
	unsigned n = 0;

	while (n < max && conn->head != conn->done) {
		const struct verbs_slot *slot = slot_at(conn, conn->head++);

		out[n].cookie = slot->cookie;
		out[n++].status = slot->status;
	}
	return n;
}

int verbs_flow_poll(struct tp_conn *base, struct tp_completion *out, unsigned max)
{
	struct verbs_conn *conn = verbs_conn_of(base);
	unsigned n = report(conn, out, max);
	bool more;

	if (n == max)
		return (int)n;
	do {
		more = reap(conn);
		n += report(conn, out + n, max - n);
	} while (more && n < max);
	if (n == 0) {
		check(conn);
		n = report(conn, out, max);
	}
	return (int)n;
}

/* ---- sleeping ---- */

/* Takes the events of past completions out of the channel. Acknowledged all together at the end:
 * that takes a lock each time. */
static bool drain(struct verbs_conn *conn)
{
	unsigned before = conn->unacked;
	struct ibv_cq *cq;
	void *context;

	while (conn->lib->get_cq_event(conn->completions, &cq, &context) == 0)
		conn->unacked++;
	return conn->unacked != before;
}

/* An event may come after its completion was taken: then it wakes for nothing, once. */
static int arm(struct verbs_conn *conn)
{
	if (!drain(conn) && conn->is_armed && !conn->is_stale)
		return 0;
	if (ibv_req_notify_cq(conn->cq, 0))
		return -EIO;
	conn->is_armed = true;
	conn->is_stale = false;
	return 0;
}

int verbs_flow_arm(struct tp_conn *base, int *fd, short *events)
{
	struct verbs_conn *conn = verbs_conn_of(base);
	int err;

	if (conn->head != conn->done)
		return -EAGAIN;
	if (error_of(conn) && conn->head == conn->tail)
		return error_of(conn);
	err = conn->qp ? arm(conn) : 0;
	if (err)
		fail(conn, err);
	/* What came before it was armed makes nothing readable. */
	(void)reap(conn);
	if (conn->head != conn->done)
		return -EAGAIN;
	*fd = conn->epoll_fd;
	*events = POLLIN;
	return 0;
}

int verbs_flow_error(const struct tp_conn *base)
{
	return error_of((const struct verbs_conn *)base);
}
