/*
 * The connection manager (rdma_cm(7)): its events, and the client's way to a connection. Nothing
 * here is for the fault path but verbs_cm_next(), which allocates from the libraries' pool only
 * when there is an event, and takes the pool's lock then.
 */
#ifndef COMMON_TRANSPORT_VERBS_CM_H
#define COMMON_TRANSPORT_VERBS_CM_H

#include "common/transport/verbs_greeting.h"
#include "common/transport/verbs_lib.h"

#include <sys/socket.h>

/* Non-blocking. */
int verbs_cm_channel(const struct verbs_lib *lib, struct rdma_event_channel **out) MUST_CHECK;

struct verbs_event {
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	int status;
	uint8_t reads_wanted; /* CONNECT_REQUEST: how many the client would have in flight */
	size_t len;	      /* of what the peer has said, cut at the size of data */
	uint8_t data[VERBS_GREETING_BYTES];
};

/* The next event, or -EAGAIN. It is acknowledged: the id may be destroyed at once. */
int verbs_cm_next(const struct verbs_lib *lib, struct rdma_event_channel *channel,
		  struct verbs_event *out) MUST_CHECK;

/* Waits for an event of this type; any other one is an error, as is the end of time (clock_ns()).
 */
int verbs_cm_await(const struct verbs_lib *lib, struct rdma_event_channel *channel,
		   enum rdma_cm_event_type type, uint64_t deadline_ns,
		   struct verbs_event *out) MUST_CHECK;

/* Finds the device and the port towards the address: id->verbs, id->port_num. */
int verbs_cm_resolve(const struct verbs_lib *lib, struct rdma_cm_id *id,
		     const struct sockaddr *address, uint64_t deadline_ns) MUST_CHECK;

#endif
