/*
 * The donor's side of verbs. Data never passes here: a request is a matter between the client's
 * device and ours. Here connections are accepted and ended, and memory is registered. On the loop's
 * thread only. verbs_server.c listens and hears events, verbs_session.c accepts and ends, and
 * verbs_domain.c is what a client may reach.
 *
 * A domain is a protection domain of the device, with registrations of its own: its keys work on no
 * other domain's queue pairs, and the device checks key and range of every request. A request that
 * it refuses ends the connection (the device puts the queue pair into the error state).
 *
 * A server lends over one device: a lease names one key, and a key is the device's.
 */
#ifndef COMMON_TRANSPORT_VERBS_SERVER_H
#define COMMON_TRANSPORT_VERBS_SERVER_H

#include "common/transport/ops.h"
#include "common/transport/verbs_cm.h"
#include "common/transport/verbs_device.h"

#include <sys/queue.h>

struct loop;
struct loop_watch;

#define VERBS_MAX_LISTENERS 8

/* Slabs of a client are some thousands. */
#define VERBS_EXPORT_BUCKETS 256

struct verbs_export {
	uint64_t key;
	struct ibv_mr *mr;
	LIST_ENTRY(verbs_export) bucket;
};

struct verbs_session;

struct verbs_domain {
	struct tp_domain base;
	struct verbs_server *server;
	struct ibv_pd *pd;
	struct ibv_cq *cq; /* which queue pairs must have; nothing ever comes into it */
	TAILQ_HEAD(, verbs_session) sessions;
	unsigned session_count;
	LIST_HEAD(, verbs_export) buckets[VERBS_EXPORT_BUCKETS];
};

struct verbs_session {
	struct verbs_domain *domain;
	struct rdma_cm_id *id; /* its context is this session */
	struct ibv_qp *qp;
	TAILQ_ENTRY(verbs_session) link;
};

struct verbs_server {
	struct tp_server base;
	const struct verbs_lib *lib;
	struct loop *loop;
	tp_find_fn *find;
	void *find_arg;
	struct rdma_event_channel *events;
	struct loop_watch *events_watch;
	unsigned listener_count;
	struct rdma_cm_id *listeners[VERBS_MAX_LISTENERS];
	struct verbs_device device; /* no context: not listening yet */
	struct loop_watch *device_watch;
	struct tp_server_stats stats;
};

/* A client asks to be connected. Owns event->id from now on. */
void verbs_session_request(struct verbs_server *server, const struct verbs_event *event);
/* The connection is over: ends the session. */
void verbs_session_over(struct verbs_session *session);
/* Ends the connection and frees the session. */
void verbs_session_end(struct verbs_session *session);

/* The members of tp_server_ops. */
int verbs_domain_open(struct tp_server *server, struct tp_domain **out) MUST_CHECK;
void verbs_domain_cut(struct tp_domain *domain);
void verbs_domain_close(struct tp_domain *domain);
int verbs_domain_export(struct tp_domain *domain, const struct tp_export *memory,
			struct tp_remote *out) MUST_CHECK;
void verbs_domain_revoke(struct tp_domain *domain, uint64_t key);

static inline struct verbs_server *verbs_server_of(struct tp_server *server)
{
	return CONTAINER_OF(server, struct verbs_server, base);
}

static inline struct verbs_domain *verbs_domain_of(struct tp_domain *domain)
{
	return CONTAINER_OF(domain, struct verbs_domain, base);
}

#endif
