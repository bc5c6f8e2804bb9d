#include "common/transport/verbs_server.h"

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/transport/domain.h"
#include "common/transport/verbs_qp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* READs of one client that are served at once, if he asks for so many and the device can. */
#define MAX_READS 128

static void session_free(struct verbs_session *session)
{
	const struct verbs_lib *lib = session->domain->server->lib;

	if (session->qp)
		lib->destroy_qp(session->qp);
	lib->destroy_id(session->id);
	free(session);
}

void verbs_session_end(struct verbs_session *session)
{
	struct verbs_domain *domain = session->domain;

	/* Fails if the other side was first. */
	(void)domain->server->lib->disconnect(session->id);
	TAILQ_REMOVE(&domain->sessions, session, link);
	domain->session_count--;
	domain->server->stats.connections--;
	session_free(session);
}

/* Who did what the device does not allow is seen by the state that it left the queue pair in. */
void verbs_session_over(struct verbs_session *session)
{
	struct verbs_server *server = session->domain->server;

	if (verbs_qp_has_failed(server->lib, session->qp))
		server->stats.refused++;
	verbs_session_end(session);
}

/* ---- requests for a connection ---- */

static void reject(struct verbs_server *server, struct rdma_cm_id *id, enum frame_status status)
{
	uint8_t welcome[FRAME_WELCOME_BYTES];

	frame_welcome_encode(TP_VERBS_MAGIC, status, welcome);
	server->stats.refused++;
	/* Fails if the client has lost his patience. */
	(void)server->lib->reject(id, welcome, sizeof(welcome));
	server->lib->destroy_id(id);
}

/* Whether the token opens a domain that has room. */
static enum frame_status admit(struct verbs_server *server, const struct verbs_event *event,
			       struct verbs_domain **out)
{
	struct frame_hello hello;
	struct tp_domain *found;

	if (verbs_greeting_hello(event->data, event->len, &hello))
		return FRAME_PROTOCOL;
	if (hello.version != FRAME_VERSION)
		return FRAME_VERSIONS;
	found = server->find(server->find_arg, hello.token);
	if (!found)
		return FRAME_REFUSED;
	if (verbs_domain_of(found)->session_count == DOMAIN_MAX_SESSIONS)
		return FRAME_BUSY;
	*out = verbs_domain_of(found);
	return FRAME_OK;
}

static uint8_t reads_granted(const struct verbs_server *server, uint8_t wanted)
{
	int most = server->device.limits.max_qp_rd_atom;

	if (most > MAX_READS)
		most = MAX_READS;
	return wanted < most ? wanted : (uint8_t)most;
}

static int prepare_qp(struct verbs_session *session, uint8_t reads)
{
	struct verbs_domain *domain = session->domain;
	struct verbs_server *server = domain->server;
	struct ibv_port_attr port;
	int err;

	err = verbs_device_port(&server->device, session->id->port_num, &port);
	if (!err)
		err = verbs_qp_create(server->lib, domain->pd, domain->cq, 1, &session->qp);
	if (!err)
		err = verbs_qp_init(server->lib, session->id, session->qp,
				    IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
	if (!err)
		err = verbs_qp_connect(server->lib, session->id, session->qp, reads, 1,
				       port.active_mtu);
	return err;
}

static int accept_request(struct verbs_session *session, const struct verbs_event *event)
{
	struct verbs_server *server = session->domain->server;
	uint8_t welcome[FRAME_WELCOME_BYTES];
	struct rdma_conn_param param = {
		.private_data = welcome,
		.private_data_len = sizeof(welcome),
		.responder_resources = reads_granted(server, event->reads_wanted),
		.initiator_depth = 1,
	};
	int err;

	err = prepare_qp(session, param.responder_resources);
	if (err)
		return err;
	param.qp_num = session->qp->qp_num;
	frame_welcome_encode(TP_VERBS_MAGIC, FRAME_OK, welcome);
	if (server->lib->accept(session->id, &param) < 0)
		return verbs_lib_error(server->lib);
	return 0;
}

/* In the domain, with a queue pair of its own; or nothing has changed. */
static int welcome(struct verbs_domain *domain, const struct verbs_event *event)
{
	struct verbs_session *session;
	int err;

	session = FAULT_POINT() ? NULL : calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	session->domain = domain;
	session->id = event->id;
	err = accept_request(session, event);
	if (err) {
		if (session->qp)
			domain->server->lib->destroy_qp(session->qp);
		free(session);
		return err;
	}
	event->id->context = session;
	TAILQ_INSERT_TAIL(&domain->sessions, session, link);
	domain->session_count++;
	domain->server->stats.connections++;
	return 0;
}

static bool is_ours(const struct verbs_server *server, const struct rdma_cm_id *id)
{
	const char *name = verbs_device_name(&server->device);

	if (id->verbs && strcmp(id->verbs->device->name, name) == 0)
		return true;
	log_warn("rdma connection refused: it comes through another device than %s", name);
	return false;
}

void verbs_session_request(struct verbs_server *server, const struct verbs_event *event)
{
	enum frame_status status;
	struct verbs_domain *domain;
	int err;

	event->id->context = NULL;
	if (!is_ours(server, event->id)) {
		reject(server, event->id, FRAME_BUSY);
		return;
	}
	status = admit(server, event, &domain);
	if (status != FRAME_OK) {
		reject(server, event->id, status);
		return;
	}
	err = welcome(domain, event);
	if (err) {
		log_warn("rdma connection refused: %s", strerror(-err));
		reject(server, event->id, err == -EMSGSIZE ? FRAME_MTU : FRAME_BUSY);
	}
}
