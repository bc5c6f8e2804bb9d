#include "common/transport/verbs_server.h"

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/transport/verbs_status.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Requests that wait for the loop. More are sent again by the client's connection manager. */
#define BACKLOG 128

/* ---- events ---- */

static void handle(struct verbs_server *server, const struct verbs_event *event)
{
	if (event->type == RDMA_CM_EVENT_CONNECT_REQUEST)
		verbs_session_request(server, event);
	else if (verbs_status_is_end(event->type) && event->id->context)
		verbs_session_over(event->id->context);
}

static void hear_events(void *arg, uint32_t ready UNUSED)
{
	struct verbs_server *server = arg;
	struct verbs_event event;

	/* One a turn: other watches have their turn between connections. */
	if (verbs_cm_next(server->lib, server->events, &event) == 0)
		handle(server, &event);
}

/* Nothing that the device says is news: what it refuses is seen when the connection ends. */
static void hear_device(void *arg, uint32_t ready UNUSED)
{
	struct verbs_server *server = arg;
	struct ibv_async_event event;

	if (server->lib->get_async_event(server->device.context, &event) < 0)
		return;
	if (event.event_type == IBV_EVENT_DEVICE_FATAL)
		log_error("%s has failed", verbs_device_name(&server->device));
	server->lib->ack_async_event(&event);
}

/* ---- the device ---- */

static int watch_device(struct verbs_server *server)
{
	int fd = server->device.context->async_fd, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return loop_watch(server->loop, fd, POLLIN, hear_device, server, &server->device_watch);
}

/* The device that a listener is bound to, or the first one; always the same. */
static int choose_device(struct verbs_server *server, const struct rdma_cm_id *listener)
{
	const char *name = listener->verbs ? listener->verbs->device->name : NULL;
	int err;

	if (server->device.context) {
		if (!name || strcmp(name, verbs_device_name(&server->device)) == 0)
			return 0;
		tp_explain("memory is lent over %s, and this address belongs to %s",
			   verbs_device_name(&server->device), name);
		return -EXDEV;
	}
	err = verbs_device_open(server->lib, name, &server->device);
	if (err)
		return err;
	err = watch_device(server);
	if (err)
		verbs_device_close(&server->device);
	return err;
}

/* ---- listening ---- */

static bool is_wildcard(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ((const struct sockaddr_in *)address)->sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static int bind_listener(struct verbs_server *server, struct rdma_cm_id *id,
			 struct sockaddr *address)
{
	int err;

	if (server->lib->bind_addr(id, address) < 0) {
		err = verbs_lib_error(server->lib);
		if (err == -ENODEV || err == -EADDRNOTAVAIL)
			tp_explain("the address belongs to no RDMA device");
		return err == -EADDRNOTAVAIL ? -ENODEV : err;
	}
	if (!id->verbs && !is_wildcard(address)) {
		tp_explain("the address belongs to no RDMA device");
		return -ENODEV;
	}
	err = choose_device(server, id);
	if (err)
		return err;
	if (server->lib->listen(id, BACKLOG) < 0)
		return verbs_lib_error(server->lib);
	return 0;
}

static int listen_at(struct verbs_server *server, struct sockaddr *address, uint16_t *bound_port)
{
	struct rdma_cm_id *id;
	int err;

	if (server->listener_count == VERBS_MAX_LISTENERS)
		return -ENOSPC;
	if (server->lib->create_id(server->events, &id, NULL, RDMA_PS_TCP) < 0)
		return verbs_lib_error(server->lib);
	err = bind_listener(server, id, address);
	if (err) {
		server->lib->destroy_id(id);
		return err;
	}
	*bound_port = ntohs(server->lib->get_src_port(id));
	server->listeners[server->listener_count++] = id;
	return 0;
}

static int verbs_listen(struct tp_server *base, const char *host, uint16_t port,
			uint16_t *bound_port)
{
	const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list;
	char service[8];
	int err;

	snprintf(service, sizeof(service), "%u", (unsigned)port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		return -EADDRNOTAVAIL;
	err = listen_at(verbs_server_of(base), list->ai_addr, bound_port);
	freeaddrinfo(list);
	return err;
}

/* ---- the rest of the table ---- */

static int open_events(struct verbs_server *server)
{
	int err;

	err = verbs_cm_channel(server->lib, &server->events);
	if (err) {
		tp_explain("the RDMA connection manager does not work: %s", strerror(-err));
		return err;
	}
	err = loop_watch(server->loop, server->events->fd, POLLIN, hear_events, server,
			 &server->events_watch);
	if (err)
		server->lib->destroy_event_channel(server->events);
	return err;
}

static int verbs_open(struct loop *loop, tp_find_fn *find, void *arg, struct tp_server **out)
{
	const struct verbs_lib *lib;
	struct verbs_server *server;
	int err;

	err = verbs_lib_load(&lib);
	if (err)
		return err;
	server = FAULT_POINT() ? NULL : calloc(1, sizeof(*server));
	if (!server)
		return -ENOMEM;
	server->base.ops = &tp_verbs_server;
	server->lib = lib;
	server->loop = loop;
	server->find = find;
	server->find_arg = arg;
	err = open_events(server);
	if (err) {
		free(server);
		return err;
	}
	*out = &server->base;
	return 0;
}

static void verbs_close(struct tp_server *base)
{
	struct verbs_server *server = verbs_server_of(base);
	unsigned i;

	for (i = 0; i < server->listener_count; i++)
		server->lib->destroy_id(server->listeners[i]);
	loop_unwatch(server->events_watch);
	server->lib->destroy_event_channel(server->events);
	loop_unwatch(server->device_watch);
	verbs_device_close(&server->device);
	free(server);
}

/* Nothing to spin for: data does not pass here. */
static int verbs_spin(struct tp_server *server UNUSED)
{
	return 0;
}

static void verbs_stats(const struct tp_server *base, struct tp_server_stats *out)
{
	*out = CONTAINER_OF(base, const struct verbs_server, base)->stats;
}

const struct tp_server_ops tp_verbs_server = {
	.open = verbs_open,
	.close = verbs_close,
	.listen = verbs_listen,
	.spin = verbs_spin,
	.stats = verbs_stats,
	.domain_open = verbs_domain_open,
	.domain_cut = verbs_domain_cut,
	.domain_close = verbs_domain_close,
	.domain_export = verbs_domain_export,
	.domain_revoke = verbs_domain_revoke,
};
