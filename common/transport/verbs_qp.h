/*
 * Queue pairs and the states they go through while a connection is made:
 *
 *	RESET ──▶ INIT ──▶ RTR (ready to receive) ──▶ RTS (to send) ──▶ ERROR: everything is flushed
 *
 * librdmacm would do that for queue pairs that it has made. Ours belong to a context of our own
 * (verbs_device.h), so it only tells with which attributes (rdma_init_qp_attr(3)).
 */
#ifndef COMMON_TRANSPORT_VERBS_QP_H
#define COMMON_TRANSPORT_VERBS_QP_H

#include "common/transport/verbs_device.h"

#include <stdbool.h>

/* depth: requests that can be posted. */
int verbs_qp_create(const struct verbs_lib *lib, struct ibv_pd *pd, struct ibv_cq *cq,
		    uint32_t depth, struct ibv_qp **out) MUST_CHECK;

/* access: what the peer may do to memory registered for it. */
int verbs_qp_init(const struct verbs_lib *lib, struct rdma_cm_id *id, struct ibv_qp *qp,
		  unsigned access) MUST_CHECK;

/*
 * Both further states. max_reads_in: READs of the peer that this side serves at once.
 * max_reads_out: READs that this side has in flight at once at most; fewer if the peer serves
 * fewer. mtu: largest that this side's port has: -EMSGSIZE if the connection's is larger.
 */
int verbs_qp_connect(const struct verbs_lib *lib, struct rdma_cm_id *id, struct ibv_qp *qp,
		     uint8_t max_reads_in, uint8_t max_reads_out, enum ibv_mtu mtu) MUST_CHECK;

/* All that is in flight is flushed. */
void verbs_qp_fail(const struct verbs_lib *lib, struct ibv_qp *qp);

/* Whether it is in that state, be it that its device put it there. */
bool verbs_qp_has_failed(const struct verbs_lib *lib, struct ibv_qp *qp);

#endif
