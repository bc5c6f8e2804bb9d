#include "common/transport/verbs_qp.h"

#include "common/base/fault_point.h"
#include "common/base/log.h"

#include <errno.h>
#include <string.h>

/*
 * A donor whose host is silent is given up after 8 times 1.07 s, which is 4.096 us * 2^18: nearly
 * the 10 s of tcp, and longer than a link that is down for two seconds. Some devices wait longer.
 */
#define ACK_TIMEOUT 18
#define RETRIES 7

/*
 * Bits that the kernel's answer has had for RoCE (source MAC, VLAN), and that modify_qp() refuses;
 * librdmacm masks them, too.
 */
#define KERNEL_ONLY_BITS 0xe00000

int verbs_qp_create(const struct verbs_lib *lib, struct ibv_pd *pd, struct ibv_cq *cq,
		    uint32_t depth, struct ibv_qp **out)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = {.max_send_wr = depth,
			.max_recv_wr = 1,
			.max_send_sge = 1,
			.max_recv_sge = 1},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};
	struct ibv_qp *qp = FAULT_POINT() ? NULL : lib->create_qp(pd, &attr);

	if (!qp)
		return verbs_lib_error(lib);
	*out = qp;
	return 0;
}

/* How the connection wants the queue pair to be in this state. */
static int ask(const struct verbs_lib *lib, struct rdma_cm_id *id, enum ibv_qp_state state,
	       struct ibv_qp_attr *attr, int *mask)
{
	memset(attr, 0, sizeof(*attr));
	attr->qp_state = state;
	if (lib->init_qp_attr(id, attr, mask) < 0)
		return verbs_lib_error(lib);
	*mask &= ~KERNEL_ONLY_BITS;
	return 0;
}

int verbs_qp_init(const struct verbs_lib *lib, struct rdma_cm_id *id, struct ibv_qp *qp,
		  unsigned access)
{
	struct ibv_qp_attr attr;
	int err, mask;

	err = ask(lib, id, IBV_QPS_INIT, &attr, &mask);
	if (err)
		return err;
	attr.qp_access_flags = access;
	return -lib->modify_qp(qp, &attr, mask | IBV_QP_ACCESS_FLAGS);
}

static int to_receive(const struct verbs_lib *lib, struct rdma_cm_id *id, struct ibv_qp *qp,
		      uint8_t max_reads_in, enum ibv_mtu mtu)
{
	struct ibv_qp_attr attr;
	int err, mask;

	err = ask(lib, id, IBV_QPS_RTR, &attr, &mask);
	if (err)
		return err;
	if (attr.path_mtu > mtu)
		return -EMSGSIZE;
	attr.max_dest_rd_atomic = max_reads_in;
	return -lib->modify_qp(qp, &attr, mask);
}

static int to_send(const struct verbs_lib *lib, struct rdma_cm_id *id, struct ibv_qp *qp,
		   uint8_t max_reads_out)
{
	struct ibv_qp_attr attr;
	int err, mask;

	err = ask(lib, id, IBV_QPS_RTS, &attr, &mask);
	if (err)
		return err;
	if (attr.max_rd_atomic > max_reads_out)
		attr.max_rd_atomic = max_reads_out;
	attr.timeout = ACK_TIMEOUT;
	attr.retry_cnt = RETRIES;
	return -lib->modify_qp(qp, &attr, mask);
}

int verbs_qp_connect(const struct verbs_lib *lib, struct rdma_cm_id *id, struct ibv_qp *qp,
		     uint8_t max_reads_in, uint8_t max_reads_out, enum ibv_mtu mtu)
{
	int err;

	err = to_receive(lib, id, qp, max_reads_in, mtu);
	return err ? err : to_send(lib, id, qp, max_reads_out);
}

void verbs_qp_fail(const struct verbs_lib *lib, struct ibv_qp *qp)
{
	struct ibv_qp_attr attr;
	int err;

	memset(&attr, 0, sizeof(attr));
	attr.qp_state = IBV_QPS_ERR;
	err = lib->modify_qp(qp, &attr, IBV_QP_STATE);
	if (err)
		log_debug("queue pair cannot be stopped: %s", strerror(err));
}

bool verbs_qp_has_failed(const struct verbs_lib *lib, struct ibv_qp *qp)
{
	struct ibv_qp_init_attr ignored;
	struct ibv_qp_attr attr;

	return lib->query_qp(qp, &attr, IBV_QP_STATE, &ignored) == 0 &&
	       attr.qp_state == IBV_QPS_ERR;
}
