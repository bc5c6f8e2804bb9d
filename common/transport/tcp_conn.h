/*
 * A client's tcp connection: a ring of requests that four counters run through. Only the two files
 * tcp_client.c (post, poll, connect) and tcp_flow.c (moving bytes) look inside. Used by the
 * connection's owner, but for the table of remotes, which has rules of its own, and `error`, which
 * any thread may read.
 *
 *        head ≤ answered ≤ sent ≤ tail ≤ head + depth
 *
 *      ───┬──────────────┬───────────────┬──────────────┬───▶  (free running, masked when used)
 *         │ answered,    │ on the wire   │ to be sent   │
 *         │ not reported │               │              │
 *        head         answered          sent           tail
 *
 * Replies come in the order of the requests (tcp_frame.h), so no other book is needed. When the
 * connection fails, `answered` stays where it is and all after it is reported as failed.
 */
#ifndef COMMON_TRANSPORT_TCP_CONN_H
#define COMMON_TRANSPORT_TCP_CONN_H

#include "common/transport/remotes.h"
#include "common/transport/tcp_frame.h"

#include <stdatomic.h>
#include <sys/uio.h>

/* Replies that one system call can receive, requests that it can send. Beyond 64 nothing is won. */
#define TCP_RECEIVE_BATCH 64
#define TCP_SEND_BATCH 64

struct tcp_slot {
	void *local;
	uint64_t cookie;
	uint32_t bytes;
	enum tp_op op;
};

struct tcp_conn {
	struct tp_conn base;
	struct remotes remotes;
	_Atomic int error; /* 0, or the negative errno that ended the connection */
	uint32_t culprit;  /* request that completes with it; tail or later: none does */
	int fd;
	uint32_t depth, mask;
	uint32_t head, answered, sent, tail;
	size_t sent_bytes;    /* of the request at `sent` */
	size_t got_bytes;     /* of the reply at `answered` */
	uint64_t progress_ns; /* since when nothing moves while something should; 0: not yet */
	uint64_t checked_ns;  /* when an idle connection was last looked at */
	struct tcp_slot *slots;
	uint8_t (*requests)[TCP_REQUEST_BYTES];
	uint8_t replies[TCP_RECEIVE_BATCH][TCP_REPLY_BYTES];
	struct iovec iov[2 * TCP_RECEIVE_BATCH];
};

/* Ends the connection. Only the first cause counts. */
void tcp_flow_fail(struct tcp_conn *conn, int err, uint32_t culprit);

/* Sends what is queued as far as the socket takes it. */
void tcp_flow_send(struct tcp_conn *conn);

/* Receives replies that are there; true if there may be more. */
bool tcp_flow_receive(struct tcp_conn *conn);

/* Notices a peer that is gone or silent while nothing moves; costs a system call now and then. */
void tcp_flow_check(struct tcp_conn *conn);

#endif
