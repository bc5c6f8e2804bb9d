/*
 * A client's verbs connection: a ring of requests. Only verbs_client.c (connecting) and
 * verbs_flow.c (requests) look inside. Used by the connection's owner, but for the table of
 * remotes, which has rules of its own, and `error`, which any thread may read.
 *
 *        head ≤ done ≤ tail ≤ head + depth
 *
 *      ───┬──────────────┬───────────────┬───▶  (free running, masked when used)
 *         │ completed,   │ the device's  │
 *         │ not reported │               │
 *        head           done            tail
 *
 * A reliable queue pair completes its requests in the order of posting, also with errors and when
 * it is flushed, so that completions need no other book; wr_id is only checked. A request that is
 * wrong in itself is not given to the device: it is the last one in the ring, completes when all
 * before it have, and ends the connection.
 */
#ifndef COMMON_TRANSPORT_VERBS_CONN_H
#define COMMON_TRANSPORT_VERBS_CONN_H

#include "common/transport/remotes.h"
#include "common/transport/verbs_cm.h"
#include "common/transport/verbs_tp.h"

#include <stdatomic.h>

struct verbs_slot {
	uint64_t cookie;
	int status;	/* when done */
	bool is_posted; /* the device has it, or had it */
};

struct verbs_conn {
	struct tp_conn base;
	struct remotes remotes;
	const struct verbs_lib *lib;
	struct verbs_adapter *adapter;
	_Atomic int error; /* 0, or the negative errno that ended the connection */
	bool has_culprit;  /* some request has completed, or will, with that error */
	bool is_armed;	   /* a completion makes `completions` readable */
	bool is_stale;	   /* completions were seen since it was armed */
	int epoll_fd;	   /* readable when `completions` or `events` is */
	uint32_t depth, mask;
	uint32_t head, done, tail;
	unsigned unacked;     /* events of `completions` that were read */
	uint64_t progress_ns; /* since when nothing completes while something should; 0: not yet */
	uint64_t checked_ns;  /* when `events` was last looked at */
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
	struct ibv_comp_channel *completions;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct verbs_slot *slots; /* ring */
	struct ibv_send_wr *wrs;  /* ring, each with the sge of the same index */
	struct ibv_sge *sges;	  /* ring */
};

/* The members of tp_client_ops. */
int verbs_flow_post(struct tp_conn *conn, const struct tp_request *requests, unsigned n) MUST_CHECK;
int verbs_flow_poll(struct tp_conn *conn, struct tp_completion *out, unsigned max) MUST_CHECK;
int verbs_flow_arm(struct tp_conn *conn, int *fd, short *events) MUST_CHECK;
int verbs_flow_error(const struct tp_conn *conn);

static inline struct verbs_conn *verbs_conn_of(struct tp_conn *conn)
{
	return CONTAINER_OF(conn, struct verbs_conn, base);
}

#endif
