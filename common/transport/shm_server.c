/*
 * The donor's side of shm: hands out the memfds of a domain's exports, and keeps book of who has
 * which, so that a client learns when one is taken back. Data never passes here.
 */
#include "common/transport/session.h"
#include "common/transport/shm_frame.h"

#include "common/base/fault_point.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

struct shm_mapping {
	struct shm_session *session;
	unsigned count; /* MAPs less UNMAPs */
	LIST_ENTRY(shm_mapping) of_export;
	LIST_ENTRY(shm_mapping) of_session;
};

struct shm_session {
	struct session base;
	LIST_HEAD(, shm_mapping) mappings;
	size_t in_len;
	uint8_t in[SHM_QUESTION_BYTES];
};

static struct shm_session *shm_of(struct session *session)
{
	return CONTAINER_OF(session, struct shm_session, base);
}

/* ---- who has what ---- */

static struct shm_mapping *mapping_find(const struct shm_session *session,
					const struct export *export)
{
	struct shm_mapping *mapping;

	LIST_FOREACH (mapping, &export->mappings, of_export) {
		if (mapping->session == session)
			return mapping;
	}
	return NULL;
}

static void mapping_free(struct shm_mapping *mapping)
{
	LIST_REMOVE(mapping, of_export);
	LIST_REMOVE(mapping, of_session);
	free(mapping);
}

static int mapping_add(struct shm_session *session, struct export *export)
{
	struct shm_mapping *mapping = mapping_find(session, export);

	if (!mapping) {
		mapping = FAULT_POINT() ? NULL : calloc(1, sizeof(*mapping));
		if (!mapping)
			return -ENOMEM;
		mapping->session = session;
		LIST_INSERT_HEAD(&export->mappings, mapping, of_export);
		LIST_INSERT_HEAD(&session->mappings, mapping, of_session);
	}
	mapping->count++;
	return 0;
}

/* ---- questions ---- */

static void attach_fd(struct msghdr *message, int fd)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
}

/* fd -1 for none. A client that does not read its answers is no client. */
static int send_answer(struct shm_session *session, const struct shm_answer *answer, int fd)
{
	uint8_t bytes[SHM_ANSWER_BYTES];
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {bytes, sizeof(bytes)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	shm_answer_encode(answer, bytes);
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		attach_fd(&message, fd);
	}
	if (sendmsg(session->base.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(bytes))
		return -ECONNRESET;
	return 0;
}

static int answer_map(struct shm_session *session, struct export *export)
{
	struct tp_server_stats *stats = &session->base.server->stats;
	struct shm_answer answer = {.status = FRAME_REFUSED};
	int err;

	if (!export) {
		stats->refused++;
		return send_answer(session, &answer, -1);
	}
	err = mapping_add(session, export);
	if (err)
		return err;
	answer.status = FRAME_OK;
	answer.bytes = export->memory.bytes;
	return send_answer(session, &answer, export->memory.memfd);
}

static int answer_unmap(struct shm_session *session, struct export *export)
{
	struct shm_answer answer = {.status = FRAME_OK};
	struct shm_mapping *mapping = export ? mapping_find(session, export) : NULL;

	if (!mapping)
		answer.status = FRAME_REFUSED;
	else if (--mapping->count == 0)
		mapping_free(mapping);
	return send_answer(session, &answer, -1);
}

static int answer_one(struct shm_session *session)
{
	struct shm_question question;
	struct export *export;
	int err;

	err = shm_question_decode(session->in, &question);
	if (err)
		return err;
	export = domain_find(session->base.domain, question.key);
	if (question.op == SHM_MAP)
		return answer_map(session, export);
	return answer_unmap(session, export);
}

static int receive(struct shm_session *session)
{
	ssize_t n;

	n = recv(session->base.fd, session->in + session->in_len,
		 sizeof(session->in) - session->in_len, MSG_DONTWAIT);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	session->in_len += (size_t)n;
	if (session->in_len < sizeof(session->in))
		return 0;
	session->in_len = 0;
	return answer_one(session);
}

/* ---- the tables ---- */

/* One question a turn: they are rare, and the next one brings the loop back here. */
static void shm_ready(struct session *base)
{
	if (receive(shm_of(base)) < 0)
		session_end(base);
}

static void shm_leave(struct session *base)
{
	struct shm_session *session = shm_of(base);
	struct shm_mapping *mapping;

	while ((mapping = LIST_FIRST(&session->mappings)))
		mapping_free(mapping);
}

/* Memory that is mapped elsewhere cannot be taken away, but its holder can be told. */
static void shm_revoke(struct domain *domain UNUSED, struct export *export)
{
	struct shm_mapping *mapping;

	while ((mapping = LIST_FIRST(&export->mappings)))
		session_end(&mapping->session->base);
}

static const struct session_kind shm_kind = {
	.magic = TP_SHM_MAGIC,
	.bytes = sizeof(struct shm_session),
	.needs_memfd = true,
	.ready = shm_ready,
	.leave = shm_leave,
	.revoke = shm_revoke,
};

static int shm_open_server(struct loop *loop, tp_find_fn *find, void *arg, struct tp_server **out)
{
	struct session_server *server = FAULT_POINT() ? NULL : calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	session_server_init(server, &tp_shm_server, &shm_kind, loop, find, arg);
	*out = &server->base;
	return 0;
}

static void shm_close_server(struct tp_server *base)
{
	struct session_server *server = session_server_of(base);

	session_server_clear(server);
	free(server);
}

/* Nothing to spin for: data does not pass here. */
static int shm_spin(struct tp_server *server UNUSED)
{
	return 0;
}

const struct tp_server_ops tp_shm_server = {
	.open = shm_open_server,
	.close = shm_close_server,
	.take = session_take,
	.spin = shm_spin,
	.stats = session_server_stats,
	.domain_open = domain_open,
	.domain_cut = domain_cut,
	.domain_close = domain_close,
	.domain_export = domain_export,
	.domain_revoke = domain_revoke,
};
