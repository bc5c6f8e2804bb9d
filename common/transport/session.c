#include "common/transport/session.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* For a hello to arrive, or a last word to be read. Longer than a lost packet takes; a guess. */
#define PATIENCE_NS 5000000000u
#define TIMER_MS 1000
/* Strangers do not get more descriptors than this: then the longest waiting one goes. A guess. */
#define MAX_WAITING 512

static void expire(void *arg)
{
	struct session_server *server = arg;
	uint64_t now = clock_ns();
	struct session *session;

	while ((session = TAILQ_FIRST(&server->waiting)) && session->deadline_ns <= now)
		session_end(session);
}

static int wait_add(struct session *session)
{
	struct session_server *server = session->server;
	int err;

	if (!server->timer) {
		err = loop_timer_start(server->loop, TIMER_MS, expire, server, &server->timer);
		if (err)
			return err;
	}
	if (server->waiting_count == MAX_WAITING)
		session_end(TAILQ_FIRST(&server->waiting));
	session->deadline_ns = clock_ns() + PATIENCE_NS;
	TAILQ_INSERT_TAIL(&server->waiting, session, link);
	server->waiting_count++;
	return 0;
}

static void wait_remove(struct session *session)
{
	struct session_server *server = session->server;

	TAILQ_REMOVE(&server->waiting, session, link);
	server->waiting_count--;
	if (server->waiting_count == 0) {
		loop_timer_cancel(server->timer);
		server->timer = NULL;
	}
}

static void domain_join(struct session *session, struct domain *domain)
{
	session->domain = domain;
	TAILQ_INSERT_TAIL(&domain->sessions, session, link);
	domain->session_count++;
	session->server->stats.connections++;
}

static void domain_leave(struct session *session)
{
	session->server->kind->leave(session);
	TAILQ_REMOVE(&session->domain->sessions, session, link);
	session->domain->session_count--;
	session->domain = NULL;
	session->server->stats.connections--;
}

static void session_free(struct session *session)
{
	loop_unwatch(session->watch);
	close(session->fd);
	free(session);
}

void session_end(struct session *session)
{
	if (session->state == SESSION_OPEN)
		domain_leave(session);
	else
		wait_remove(session);
	session_free(session);
}

void session_watch(struct session *session, uint32_t events)
{
	if (session->events == events)
		return;
	session->events = events;
	if (loop_rewatch(session->watch, events) < 0)
		log_warn("data connection no longer watched");
}

void session_leave(struct session *session)
{
	shutdown(session->fd, SHUT_WR);
	if (session->state == SESSION_OPEN) {
		domain_leave(session);
		session->state = SESSION_LEAVING;
		if (wait_add(session) < 0) {
			session_free(session);
			return;
		}
	}
	session->state = SESSION_LEAVING;
	session_watch(session, POLLIN);
}

/* ---- hello ---- */

static void answer_hello(struct session *session, enum frame_status status)
{
	uint8_t welcome[FRAME_WELCOME_BYTES];
	ssize_t n;

	frame_welcome_encode(session->server->kind->magic, status, welcome);
	/* The first bytes ever sent here: there is room for them, or the socket is dead. */
	n = send(session->fd, welcome, sizeof(welcome), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n != (ssize_t)sizeof(welcome)) {
		session_end(session);
		return;
	}
	if (status != FRAME_OK) {
		session->server->stats.refused++;
		session_leave(session);
	}
}

/* Whether the token opens a domain that has room. */
static enum frame_status admit(struct session *session, const struct frame_hello *hello)
{
	struct session_server *server = session->server;
	struct tp_domain *found;
	struct domain *domain;

	if (hello->version != FRAME_VERSION)
		return FRAME_VERSIONS;
	found = server->find(server->find_arg, hello->token);
	if (!found)
		return FRAME_REFUSED;
	domain = domain_of(found);
	if (domain->session_count == DOMAIN_MAX_SESSIONS)
		return FRAME_BUSY;
	wait_remove(session);
	domain_join(session, domain);
	session->state = SESSION_OPEN;
	return FRAME_OK;
}

static void read_hello(struct session *session)
{
	struct frame_hello hello;
	ssize_t n;

	n = recv(session->fd, session->hello + session->hello_len,
		 sizeof(session->hello) - session->hello_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		session_end(session);
		return;
	}
	session->hello_len += (size_t)n;
	if (session->hello_len < sizeof(session->hello))
		return;
	if (frame_hello_decode(session->server->kind->magic, session->hello, &hello) < 0)
		session_end(session);
	else
		answer_hello(session, admit(session, &hello));
}

/* ---- leaving ---- */

/* A bounded piece at a time, so that one who goes on sending takes no more than his share. */
static void read_away(struct session *session)
{
	uint8_t bytes[4096];
	ssize_t n;

	n = recv(session->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		session_end(session);
}

/* ---- the server ---- */

static void ready(void *arg, uint32_t events UNUSED)
{
	struct session *session = arg;

	switch (session->state) {
	case SESSION_HELLO:
		read_hello(session);
		return;
	case SESSION_OPEN:
		session->server->kind->ready(session);
		return;
	case SESSION_LEAVING:
		read_away(session);
		return;
	}
}

static int prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int session_take(struct tp_server *base, int fd)
{
	struct session_server *server = session_server_of(base);
	struct session *session;
	int err;

	err = prepare(fd);
	if (err)
		goto err_close;
	session = FAULT_POINT() ? NULL : calloc(1, server->kind->bytes);
	if (!session) {
		err = -ENOMEM;
		goto err_close;
	}
	session->server = server;
	session->fd = fd;
	session->events = POLLIN;
	err = loop_watch(server->loop, fd, POLLIN, ready, session, &session->watch);
	if (err)
		goto err_free;
	err = wait_add(session);
	if (err)
		goto err_unwatch;
	return 0;

err_unwatch:
	loop_unwatch(session->watch);
err_free:
	free(session);
err_close:
	close(fd);
	return err;
}

void session_server_init(struct session_server *server, const struct tp_server_ops *ops,
			 const struct session_kind *kind, struct loop *loop, tp_find_fn *find,
			 void *arg)
{
	server->base.ops = ops;
	server->kind = kind;
	server->loop = loop;
	server->find = find;
	server->find_arg = arg;
	TAILQ_INIT(&server->waiting);
}

void session_server_clear(struct session_server *server)
{
	struct session *session;

	while ((session = TAILQ_FIRST(&server->waiting)))
		session_end(session);
}

void session_server_stats(const struct tp_server *base, struct tp_server_stats *out)
{
	*out = CONTAINER_OF(base, const struct session_server, base)->stats;
}
