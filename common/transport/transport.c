#include "common/transport/ops.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct tp_client_ops *const clients[TP_KINDS] = {
	[TP_SHM] = &tp_shm_client,
	[TP_TCP] = &tp_tcp_client,
	[TP_VERBS] = &tp_verbs_client,
};

static const struct tp_server_ops *const servers[TP_KINDS] = {
	[TP_SHM] = &tp_shm_server,
	[TP_TCP] = &tp_tcp_server,
	[TP_VERBS] = &tp_verbs_server,
};

static const char *const names[TP_KINDS] = {
	[TP_SHM] = "shm",
	[TP_TCP] = "tcp",
	[TP_VERBS] = "verbs",
};

const char *tp_kind_name(enum tp_kind kind)
{
	return names[kind];
}

int tp_kind_parse(const char *text, enum tp_kind *out)
{
	unsigned i;

	for (i = 0; i < TP_KINDS; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = (enum tp_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

int tp_open(enum tp_kind kind, const struct tp_options *options, struct tp **out)
{
	tp_explain_nothing();
	return clients[kind]->open(options, out);
}

void tp_close(struct tp *tp)
{
	if (tp)
		tp->ops->close(tp);
}

enum tp_kind tp_kind(const struct tp *tp)
{
	return tp->kind;
}

int tp_register(struct tp *tp, void *base, size_t bytes)
{
	tp_explain_nothing();
	return tp->ops->reg(tp, base, bytes);
}

int tp_connect(struct tp *tp, const struct tp_target *target, struct tp_conn **out)
{
	tp_explain_nothing();
	return tp->ops->connect(tp, target, out);
}

unsigned tp_descriptors(const struct tp_conn *conn, int out[TP_MAX_DESCRIPTORS])
{
	return conn->ops->descriptors(conn, out);
}

void tp_disconnect(struct tp_conn *conn)
{
	if (conn)
		conn->ops->disconnect(conn);
}

int tp_attach(struct tp_conn *conn, const struct tp_remote *remote, uint32_t *handle)
{
	return conn->ops->attach(conn, remote, handle);
}

void tp_detach(struct tp_conn *conn, uint32_t handle)
{
	conn->ops->detach(conn, handle);
}

int tp_post(struct tp_conn *conn, const struct tp_request *requests, unsigned n)
{
	return conn->ops->post(conn, requests, n);
}

int tp_poll(struct tp_conn *conn, struct tp_completion *out, unsigned max)
{
	return conn->ops->poll(conn, out, max);
}

int tp_arm(struct tp_conn *conn, int *fd, short *events)
{
	return conn->ops->arm(conn, fd, events);
}

int tp_error(const struct tp_conn *conn)
{
	return conn->ops->error(conn);
}

int tp_server_open(enum tp_kind kind, struct loop *loop, tp_find_fn *find, void *arg,
		   struct tp_server **out)
{
	tp_explain_nothing();
	return servers[kind]->open(loop, find, arg, out);
}

void tp_server_close(struct tp_server *server)
{
	if (server)
		server->ops->close(server);
}

int tp_server_take(struct tp_server *server, int fd)
{
	if (server->ops->take)
		return server->ops->take(server, fd);
	close(fd);
	return -EOPNOTSUPP;
}

int tp_server_listen(struct tp_server *server, const char *host, uint16_t port,
		     uint16_t *bound_port)
{
	tp_explain_nothing();
	if (!server->ops->listen)
		return -EOPNOTSUPP;
	return server->ops->listen(server, host, port, bound_port);
}

int tp_server_spin(struct tp_server *server)
{
	return server->ops->spin(server);
}

void tp_server_stats(const struct tp_server *server, struct tp_server_stats *out)
{
	server->ops->stats(server, out);
}

int tp_domain_open(struct tp_server *server, struct tp_domain **out)
{
	tp_explain_nothing();
	return server->ops->domain_open(server, out);
}

void tp_domain_cut(struct tp_domain *domain)
{
	domain->ops->domain_cut(domain);
}

void tp_domain_close(struct tp_domain *domain)
{
	if (domain)
		domain->ops->domain_close(domain);
}

int tp_domain_export(struct tp_domain *domain, const struct tp_export *memory,
		     struct tp_remote *out)
{
	tp_explain_nothing();
	return domain->ops->domain_export(domain, memory, out);
}

void tp_domain_revoke(struct tp_domain *domain, uint64_t key)
{
	domain->ops->domain_revoke(domain, key);
}
