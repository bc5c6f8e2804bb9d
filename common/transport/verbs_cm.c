#include "common/transport/verbs_cm.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/transport/dial.h"
#include "common/transport/verbs_status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#define NS_PER_MS 1000000u

int verbs_cm_channel(const struct verbs_lib *lib, struct rdma_event_channel **out)
{
	struct rdma_event_channel *channel = FAULT_POINT() ? NULL : lib->create_event_channel();
	int flags, err;

	if (!channel)
		return verbs_lib_error(lib);
	flags = fcntl(channel->fd, F_GETFL);
	if (flags < 0 || fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		err = -errno;
		lib->destroy_event_channel(channel);
		return err;
	}
	*out = channel;
	return 0;
}

static void copy_data(const struct rdma_conn_param *from, struct verbs_event *out)
{
	if (!from->private_data)
		return;
	out->len = from->private_data_len;
	if (out->len > sizeof(out->data))
		out->len = sizeof(out->data);
	memcpy(out->data, from->private_data, out->len);
}

int verbs_cm_next(const struct verbs_lib *lib, struct rdma_event_channel *channel,
		  struct verbs_event *out)
{
	struct rdma_cm_event *event;

	if (lib->get_cm_event(channel, &event) < 0)
		return verbs_lib_error(lib);
	memset(out, 0, sizeof(*out));
	out->type = event->event;
	out->id = event->id;
	out->status = event->status;
	out->reads_wanted = event->param.conn.responder_resources;
	copy_data(&event->param.conn, out);
	lib->ack_cm_event(event);
	return 0;
}

/* What an event means that was not the one waited for. */
static int judge(const struct verbs_event *event)
{
	if (event->type == RDMA_CM_EVENT_REJECTED)
		return verbs_greeting_rejected(event->status, event->data, event->len);
	return verbs_status_of_event(event->type, event->status);
}

int verbs_cm_await(const struct verbs_lib *lib, struct rdma_event_channel *channel,
		   enum rdma_cm_event_type type, uint64_t deadline_ns, struct verbs_event *out)
{
	int err;

	while ((err = verbs_cm_next(lib, channel, out)) == -EAGAIN) {
		err = dial_wait(channel->fd, POLLIN, deadline_ns);
		if (err)
			return err;
	}
	if (err)
		return err;
	return out->type == type ? 0 : judge(out);
}

static int timeout_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_ns();

	return now < deadline_ns ? (int)((deadline_ns - now) / NS_PER_MS) + 1 : 1;
}

int verbs_cm_resolve(const struct verbs_lib *lib, struct rdma_cm_id *id,
		     const struct sockaddr *address, uint64_t deadline_ns)
{
	struct verbs_event event;
	int err;

	/* The library does not write to the address. */
	if (lib->resolve_addr(id, NULL, (struct sockaddr *)address, timeout_ms(deadline_ns)) < 0)
		return verbs_lib_error(lib);
	err = verbs_cm_await(lib, id->channel, RDMA_CM_EVENT_ADDR_RESOLVED, deadline_ns, &event);
	if (err)
		return err;
	if (lib->resolve_route(id, timeout_ms(deadline_ns)) < 0)
		return verbs_lib_error(lib);
	return verbs_cm_await(lib, id->channel, RDMA_CM_EVENT_ROUTE_RESOLVED, deadline_ns, &event);
}
