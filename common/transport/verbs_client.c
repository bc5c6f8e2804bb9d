/*
 * The client's side of verbs: how a connection comes to be, and goes.
 *
 *	engine                                        donord
 *	address, route: device and port
 *	queue pair ── RESET → INIT
 *	rdma_connect(hello, queue pair) ──────────▶   domain by token; queue pair → INIT → RTR → RTS
 *	◀────────────────────────────────────────── rdma_accept(welcome, queue pair)
 *	queue pair → RTR → RTS
 *	rdma_establish() ─────────────────────────▶
 */
#include "common/transport/verbs_conn.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/transport/verbs_qp.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* READs in flight that are asked for: mlx5 serves 16, rxe 128. */
#define MAX_READS 128

/* How often a connection request that is not answered is sent again: the deadline is ours. */
#define CONNECT_RETRIES 7

/* ---- memory ---- */

static void conn_free(struct verbs_conn *conn)
{
	const struct tp_options *options = &conn->base.tp->options;
	size_t ring = conn->mask + 1;

	remotes_destroy(&conn->remotes, options);
	tp_free(options, conn->sges, ring * sizeof(*conn->sges));
	tp_free(options, conn->wrs, ring * sizeof(*conn->wrs));
	tp_free(options, conn->slots, ring * sizeof(*conn->slots));
	tp_free(options, conn, sizeof(*conn));
}

static int conn_new(struct tp *tp, struct verbs_conn **out)
{
	struct verbs_conn *conn;
	size_t i, ring;

	conn = tp_alloc(&tp->options, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->base.ops = tp->ops;
	conn->base.tp = tp;
	conn->lib = verbs_tp_of(tp)->lib;
	conn->epoll_fd = -1;
	conn->depth = tp->options.depth;
	ring = tp_ring_size(conn->depth);
	conn->mask = (uint32_t)ring - 1;
	remotes_init(&conn->remotes);
	conn->slots = tp_alloc(&tp->options, ring * sizeof(*conn->slots));
	conn->wrs = tp_alloc(&tp->options, ring * sizeof(*conn->wrs));
	conn->sges = tp_alloc(&tp->options, ring * sizeof(*conn->sges));
	if (!conn->slots || !conn->wrs || !conn->sges) {
		conn_free(conn);
		return -ENOMEM;
	}
	for (i = 0; i < ring; i++) {
		conn->wrs[i].sg_list = &conn->sges[i];
		conn->wrs[i].num_sge = 1;
	}
	*out = conn;
	return 0;
}

/* ---- what a connection has of the device ---- */

/* Whatever of it there is; then it can be tried again. */
static void close_objects(struct verbs_conn *conn)
{
	const struct verbs_lib *lib = conn->lib;

	if (conn->epoll_fd >= 0)
		close(conn->epoll_fd);
	if (conn->qp)
		lib->destroy_qp(conn->qp);
	if (conn->cq) {
		lib->ack_cq_events(conn->cq, conn->unacked);
		lib->destroy_cq(conn->cq);
	}
	if (conn->completions)
		lib->destroy_comp_channel(conn->completions);
	if (conn->id)
		lib->destroy_id(conn->id);
	if (conn->events)
		lib->destroy_event_channel(conn->events);
	conn->epoll_fd = -1;
	conn->unacked = 0;
	conn->qp = NULL;
	conn->cq = NULL;
	conn->completions = NULL;
	conn->id = NULL;
	conn->events = NULL;
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* One descriptor that is readable when either of the channels is. */
static int open_epoll(struct verbs_conn *conn)
{
	int err;

	conn->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (conn->epoll_fd < 0)
		return -errno;
	err = watch(conn->epoll_fd, conn->completions->fd);
	return err ? err : watch(conn->epoll_fd, conn->events->fd);
}

static int open_completions(struct verbs_conn *conn)
{
	struct ibv_context *context = conn->adapter->device.context;
	const struct verbs_lib *lib = conn->lib;

	conn->completions = FAULT_POINT() ? NULL : lib->create_comp_channel(context);
	if (!conn->completions)
		return verbs_lib_error(lib);
	conn->cq = FAULT_POINT()
			   ? NULL
			   : lib->create_cq(context, (int)conn->depth, NULL, conn->completions, 0);
	if (!conn->cq)
		return verbs_lib_error(lib);
	return set_nonblocking(conn->completions->fd);
}

/* What the device cannot do is less than was asked for, and tp_post() takes less. */
static void limit_depth(struct verbs_conn *conn)
{
	const struct ibv_device_attr *limits = &conn->adapter->device.limits;
	uint32_t most = (uint32_t)(limits->max_qp_wr < limits->max_cqe ? limits->max_qp_wr
								       : limits->max_cqe);

	if (conn->depth > most)
		conn->depth = most;
}

static int open_objects(struct verbs_conn *conn)
{
	int err;

	limit_depth(conn);
	err = open_completions(conn);
	if (!err)
		err = open_epoll(conn);
	if (!err)
		err = verbs_qp_create(conn->lib, conn->adapter->pd, conn->cq, conn->depth,
				      &conn->qp);
	if (!err)
		err = verbs_qp_init(conn->lib, conn->id, conn->qp, 0);
	if (err)
		tp_explain("%s: no queues for a connection: %s",
			   verbs_device_name(&conn->adapter->device), strerror(-err));
	return err;
}

/* ---- connecting ---- */

static int open_id(struct verbs_conn *conn)
{
	const struct verbs_lib *lib = conn->lib;
	int err;

	err = verbs_cm_channel(lib, &conn->events);
	if (err) {
		tp_explain("the RDMA connection manager does not work: %s", strerror(-err));
		return err;
	}
	if (lib->create_id(conn->events, &conn->id, NULL, RDMA_PS_TCP) < 0)
		return verbs_lib_error(lib);
	return 0;
}

static int find_way(struct verbs_conn *conn, const struct addrinfo *address, uint64_t deadline_ns,
		    struct ibv_port_attr *port)
{
	int err;

	err = verbs_cm_resolve(conn->lib, conn->id, address->ai_addr, deadline_ns);
	if (err) {
		if (err == -ENODEV)
			tp_explain("the way to the donor goes through no RDMA device");
		return err;
	}
	err = verbs_tp_adapter(verbs_tp_of(conn->base.tp), conn->id->verbs->device->name,
			       &conn->adapter);
	return err ? err : verbs_device_port(&conn->adapter->device, conn->id->port_num, port);
}

static uint8_t most_reads(const struct verbs_conn *conn)
{
	int most = conn->adapter->device.limits.max_qp_init_rd_atom;

	return (uint8_t)(most < MAX_READS ? most : MAX_READS);
}

/* Says hello and hears the welcome. */
static int greet(struct verbs_conn *conn, const uint8_t token[TP_TOKEN_BYTES], uint64_t deadline_ns)
{
	struct frame_hello hello = {.version = FRAME_VERSION};
	uint8_t bytes[FRAME_HELLO_BYTES];
	struct rdma_conn_param param = {
		.private_data = bytes,
		.private_data_len = sizeof(bytes),
		.responder_resources = 1, /* nobody reads here, but some devices refuse 0 */
		.initiator_depth = most_reads(conn),
		.retry_count = CONNECT_RETRIES,
		.qp_num = conn->qp->qp_num,
	};
	struct verbs_event event;
	int err;

	memcpy(hello.token, token, TP_TOKEN_BYTES);
	frame_hello_encode(TP_VERBS_MAGIC, &hello, bytes);
	if (conn->lib->connect(conn->id, &param) < 0)
		return verbs_lib_error(conn->lib);
	err = verbs_cm_await(conn->lib, conn->events, RDMA_CM_EVENT_CONNECT_RESPONSE, deadline_ns,
			     &event);
	if (err == -EMSGSIZE)
		tp_explain("the donor's MTU is smaller than that of %s",
			   verbs_device_name(&conn->adapter->device));
	return err ? err : verbs_greeting_accepted(event.data, event.len);
}

static int try_address(struct verbs_conn *conn, const struct addrinfo *address,
		       const uint8_t token[TP_TOKEN_BYTES], uint64_t deadline_ns)
{
	struct ibv_port_attr port;
	int err;

	err = open_id(conn);
	if (!err)
		err = find_way(conn, address, deadline_ns, &port);
	if (!err)
		err = open_objects(conn);
	if (!err)
		err = greet(conn, token, deadline_ns);
	if (!err)
		err = verbs_qp_connect(conn->lib, conn->id, conn->qp, 1, most_reads(conn),
				       port.active_mtu);
	if (!err && conn->lib->establish(conn->id) < 0)
		err = verbs_lib_error(conn->lib);
	return err;
}

static int try_each(struct verbs_conn *conn, const struct addrinfo *list,
		    const uint8_t token[TP_TOKEN_BYTES], uint64_t deadline_ns)
{
	const struct addrinfo *address;
	unsigned left = 0;
	int err = -EHOSTUNREACH;

	for (address = list; address; address = address->ai_next)
		left++;
	for (address = list; address; address = address->ai_next, left--) {
		/* One silent address must not use up the time of the others. */
		uint64_t now = clock_ns();
		uint64_t share = now < deadline_ns ? (deadline_ns - now) / left : 0;

		err = try_address(conn, address, token, now + share);
		if (!err)
			break;
		close_objects(conn);
	}
	return err;
}

static int dial(struct verbs_conn *conn, const struct tp_target *target)
{
	uint64_t deadline = clock_ns() + conn->base.tp->options.connect_timeout_ms * 1000000ull;
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list;
	const struct addrinfo given = {.ai_addr = (struct sockaddr *)(uintptr_t)target->address};
	char service[8];
	int err;

	if (target->address)
		return try_each(conn, &given, target->token, deadline);
	snprintf(service, sizeof(service), "%u", (unsigned)target->port);
	if (getaddrinfo(target->host, service, &hints, &list) != 0)
		return -EHOSTUNREACH;
	err = try_each(conn, list, target->token, deadline);
	freeaddrinfo(list);
	return err;
}

static int verbs_connect(struct tp *tp, const struct tp_target *target, struct tp_conn **out)
{
	struct verbs_conn *conn;
	int err;

	err = conn_new(tp, &conn);
	if (err)
		return err;
	err = dial(conn, target);
	if (err) {
		conn_free(conn);
		return err;
	}
	*out = &conn->base;
	return 0;
}

static void verbs_disconnect(struct tp_conn *base)
{
	struct verbs_conn *conn = verbs_conn_of(base);

	/* Fails if the other side was first. */
	(void)conn->lib->disconnect(conn->id);
	close_objects(conn);
	conn_free(conn);
}

/* ---- attaching ---- */

static int verbs_attach(struct tp_conn *base, const struct tp_remote *remote, uint32_t *handle)
{
	const struct remote entry = {
		.key = remote->key,
		.bytes = remote->bytes,
		.address = remote->address,
		.rkey = remote->rkey,
	};

	return remotes_add(&verbs_conn_of(base)->remotes, &base->tp->options, &entry, handle);
}

static void verbs_detach(struct tp_conn *base, uint32_t handle)
{
	remotes_remove(&verbs_conn_of(base)->remotes, handle);
}

static unsigned verbs_descriptors(const struct tp_conn *base, int out[TP_MAX_DESCRIPTORS])
{
	const struct verbs_conn *conn = (const struct verbs_conn *)base;
	unsigned n = 0;

	out[n++] = conn->epoll_fd;
	out[n++] = conn->events->fd;
	out[n++] = conn->completions->fd;
	out[n++] = conn->adapter->device.context->cmd_fd;
	out[n++] = conn->adapter->device.context->async_fd;
	return n;
}

const struct tp_client_ops tp_verbs_client = {
	.open = verbs_tp_open,
	.close = verbs_tp_close,
	.reg = verbs_tp_register,
	.connect = verbs_connect,
	.disconnect = verbs_disconnect,
	.attach = verbs_attach,
	.detach = verbs_detach,
	.post = verbs_flow_post,
	.poll = verbs_flow_poll,
	.arm = verbs_flow_arm,
	.error = verbs_flow_error,
	.descriptors = verbs_descriptors,
};
