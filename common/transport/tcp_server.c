/*
 * The donor's side of tcp. Non-blocking system calls on the loop's thread; no memory per request:
 * headers are read into one small buffer, payload goes straight between socket and exported memory.
 *
 *          receive              serve                      send
 *  socket ────────▶ in[] ── READ: look up, check ──▶ answers[] ────────▶ socket
 *             │             WRITE: look up, check,               ▲
 *             └─ payload ──▶ exported memory ────────────────────┘
 *
 * A peer that does not read its replies fills its answers[] and is then no longer listened to.
 */
#include "common/transport/session.h"
#include "common/transport/tcp_frame.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* 512 requests; of WRITEs, what a copy costs less than another system call would. */
#define IN_BYTES 16384
#define MAX_ANSWERS 64
/* After so many bytes it is the next session's turn: some 100 us of copying. */
#define TURN_BYTES (1u << 20)
/*
 * So long a session is watched without sleeping after its last request. A client that serves faults
 * asks again some 10 us after each reply; waking up costs both sides 7 us. Measured; see
 * docs/transports.md.
 */
#define SPIN_NS 100000u

struct answer {
	uint8_t head[TCP_REPLY_BYTES];
	const struct export *from; /* READ: whose memory follows; else NULL */
	uint8_t *payload;
	uint32_t bytes;
};

struct tcp_session {
	struct session base;
	TAILQ_ENTRY(tcp_session) hot_link;
	bool is_hot;  /* in the server's list: watched by spinning, not by the loop */
	bool refused; /* the last answer is a refusal, after which there are no more */
	uint64_t busy_ns;
	const struct export *write_to; /* WRITE whose payload is coming in, else NULL */
	uint8_t *write_at;
	uint32_t write_left;
	struct tcp_request write;
	unsigned answer_first, answer_count; /* ring */
	size_t answer_sent;		     /* bytes of the first one */
	size_t in_at, in_end;		     /* what of in[] is not served yet */
	struct answer answers[MAX_ANSWERS];
	uint8_t in[IN_BYTES];
};

struct tcp_server {
	struct session_server base;
	TAILQ_HEAD(, tcp_session) hot;
	bool spins; /* tp_server_spin() is called */
};

static struct tcp_session *tcp_of(struct session *session)
{
	return CONTAINER_OF(session, struct tcp_session, base);
}

static struct tcp_server *server_of(const struct tcp_session *session)
{
	return CONTAINER_OF(session->base.server, struct tcp_server, base);
}

static bool transient(int err)
{
	return err == EAGAIN || err == EINTR || err == ENOBUFS;
}

/* ---- answers ---- */

static struct answer *answer_at(struct tcp_session *session, unsigned i)
{
	return &session->answers[(session->answer_first + i) % MAX_ANSWERS];
}

static struct answer *answer_add(struct tcp_session *session, enum frame_status status,
				 const struct tcp_request *request)
{
	struct answer *answer = answer_at(session, session->answer_count++);
	struct tcp_reply reply = {.status = (uint16_t)status, .cookie = request->cookie};

	if (status == FRAME_OK && request->op == TCP_READ)
		reply.bytes = request->bytes;
	tcp_reply_encode(&reply, answer->head);
	answer->from = NULL;
	answer->bytes = reply.bytes;
	return answer;
}

static unsigned answer_pieces(struct tcp_session *session, struct iovec *iov)
{
	size_t skip = session->answer_sent, len = 0;
	unsigned i, n = 0;

	for (i = 0; i < session->answer_count && len < TURN_BYTES; i++) {
		struct answer *answer = answer_at(session, i);

		if (skip < TCP_REPLY_BYTES) {
			iov[n].iov_base = answer->head + skip;
			iov[n++].iov_len = TCP_REPLY_BYTES - skip;
			skip = TCP_REPLY_BYTES;
		}
		if (answer->bytes > 0) {
			iov[n].iov_base = answer->payload + (skip - TCP_REPLY_BYTES);
			iov[n++].iov_len = answer->bytes - (skip - TCP_REPLY_BYTES);
			len += answer->bytes;
		}
		skip = 0;
	}
	return n;
}

static void answers_sent(struct tcp_session *session, size_t len)
{
	session->answer_sent += len;
	while (session->answer_count > 0) {
		size_t whole = TCP_REPLY_BYTES + answer_at(session, 0)->bytes;

		if (session->answer_sent < whole)
			return;
		session->answer_sent -= whole;
		session->answer_first = (session->answer_first + 1) % MAX_ANSWERS;
		session->answer_count--;
	}
}

/* Returns how many bytes went, or a negative errno. */
static ssize_t answers_send(struct tcp_session *session)
{
	struct iovec iov[2 * MAX_ANSWERS];
	struct msghdr message = {.msg_iov = iov};
	ssize_t n;

	if (session->answer_count == 0)
		return 0;
	message.msg_iovlen = answer_pieces(session, iov);
	n = sendmsg(session->base.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return transient(errno) ? 0 : -errno;
	answers_sent(session, (size_t)n);
	return n;
}

/* ---- requests ---- */

static void refuse(struct tcp_session *session, enum frame_status status,
		   const struct tcp_request *request)
{
	answer_add(session, status, request);
	session->base.server->stats.refused++;
	session->refused = true;
}

static void serve_read(struct tcp_session *session, struct export *from,
		       const struct tcp_request *request)
{
	struct answer *answer = answer_add(session, FRAME_OK, request);
	struct tp_server_stats *stats = &session->base.server->stats;

	answer->from = from;
	answer->payload = (uint8_t *)from->memory.base + request->offset;
	stats->reads++;
	stats->read_bytes += request->bytes;
}

static void begin_write(struct tcp_session *session, struct export *to,
			const struct tcp_request *request)
{
	session->write = *request;
	session->write_to = to;
	session->write_at = (uint8_t *)to->memory.base + request->offset;
	session->write_left = request->bytes;
}

/* Payload that came together with the header. */
static void take_payload(struct tcp_session *session)
{
	size_t len = session->in_end - session->in_at;

	if (len > session->write_left)
		len = session->write_left;
	memcpy(session->write_at, session->in + session->in_at, len);
	session->in_at += len;
	session->write_at += len;
	session->write_left -= (uint32_t)len;
}

static void finish_write(struct tcp_session *session)
{
	struct tp_server_stats *stats = &session->base.server->stats;

	session->write_to = NULL;
	stats->writes++;
	stats->written_bytes += session->write.bytes;
	answer_add(session, FRAME_OK, &session->write);
}

/* A whole header is there. */
static void serve_one(struct tcp_session *session)
{
	struct tcp_request request = {.cookie = 0};
	struct export *export;

	if (tcp_request_decode(session->in + session->in_at, &request) < 0) {
		refuse(session, FRAME_PROTOCOL, &request);
		return;
	}
	session->in_at += TCP_REQUEST_BYTES;
	export = domain_find(session->base.domain, request.key);
	if (!export || !tp_range_fits(request.offset, request.bytes, export->memory.bytes))
		refuse(session, FRAME_REFUSED, &request);
	else if (request.op == TCP_READ)
		serve_read(session, export, &request);
	else
		begin_write(session, export, &request);
}

/* Serves what is in the buffer; false if it had to stop because answers[] is full. */
static bool serve(struct tcp_session *session)
{
	while (!session->refused) {
		if (session->answer_count == MAX_ANSWERS)
			return false;
		if (session->write_to) {
			take_payload(session);
			if (session->write_left > 0)
				return true;
			finish_write(session);
			continue;
		}
		if (session->in_end - session->in_at < TCP_REQUEST_BYTES)
			return true;
		serve_one(session);
	}
	return true;
}

/* ---- a turn ---- */

/* Payload first, then the buffer, in one system call. Returns how many bytes came. */
static ssize_t receive(struct tcp_session *session, bool *filled)
{
	struct iovec iov[2];
	struct msghdr message = {.msg_iov = iov};
	size_t len = session->in_end - session->in_at, direct = 0;
	ssize_t n;

	memmove(session->in, session->in + session->in_at, len);
	session->in_at = 0;
	session->in_end = len;
	if (session->write_to && session->write_left > 0) {
		direct = session->write_left;
		iov[message.msg_iovlen++] = (struct iovec){session->write_at, direct};
	}
	iov[message.msg_iovlen++] = (struct iovec){session->in + len, IN_BYTES - len};
	n = recvmsg(session->base.fd, &message, MSG_DONTWAIT);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return transient(errno) ? 0 : -errno;
	*filled = (size_t)n == direct + IN_BYTES - len;
	if (direct > (size_t)n)
		direct = (size_t)n;
	if (direct) {
		session->write_at += direct;
		session->write_left -= (uint32_t)direct;
	}
	session->in_end += (size_t)n - direct;
	return n;
}

enum turn_end {
	TURN_IDLE,    /* nothing came */
	TURN_WORKED,  /* and everything that came is served, as far as is known */
	TURN_PENDING, /* there is more to serve at once */
	TURN_BLOCKED, /* the peer has to read first */
	TURN_OVER,    /* the session is gone */
};

static enum turn_end end_session(struct tcp_session *session)
{
	session_end(&session->base);
	return TURN_OVER;
}

/*
 * Receives, serves and answers until the socket is empty, the peer does not read, or it has been
 * long enough.
 */
static enum turn_end turn(struct tcp_session *session)
{
	size_t work = 0;
	bool filled, served;
	ssize_t n;

	do {
		filled = false;
		served = serve(session);
		if (served && session->answer_count == 0) {
			n = receive(session, &filled);
			if (n < 0)
				return end_session(session);
			work += (size_t)n;
			served = serve(session);
		}
		n = answers_send(session);
		if (n < 0)
			return end_session(session);
		work += (size_t)n;
		if (session->answer_count > 0)
			return work < TURN_BYTES ? TURN_BLOCKED : TURN_PENDING;
		if (session->refused) {
			session_leave(&session->base);
			return TURN_OVER;
		}
	} while ((filled || !served) && work < TURN_BYTES);
	if (!served)
		return TURN_PENDING;
	return work > 0 ? TURN_WORKED : TURN_IDLE;
}

/* ---- who is watched how ---- */

static void heat(struct tcp_session *session)
{
	session->busy_ns = clock_ns();
	if (session->is_hot)
		return;
	session->is_hot = true;
	TAILQ_INSERT_TAIL(&server_of(session)->hot, session, hot_link);
	session_watch(&session->base, 0);
}

static void cool(struct tcp_session *session)
{
	if (!session->is_hot)
		return;
	session->is_hot = false;
	TAILQ_REMOVE(&server_of(session)->hot, session, hot_link);
}

/* What a turn means for how the session is watched until the next one. */
static void settle(struct tcp_session *session, enum turn_end end)
{
	if (end == TURN_OVER)
		return;
	if (end == TURN_BLOCKED) {
		cool(session);
		session_watch(&session->base, POLLOUT);
	} else if (end != TURN_IDLE && server_of(session)->spins) {
		heat(session);
	} else if (!session->is_hot) {
		/* Pending work is in our own buffer, of which POLLIN would not tell. */
		session_watch(&session->base, end == TURN_PENDING ? POLLOUT : POLLIN);
	}
}

static void tcp_ready(struct session *base)
{
	struct tcp_session *session = tcp_of(base);

	settle(session, turn(session));
}

/* Returns whether there was something to do. */
static bool spin_one(struct tcp_session *session, uint64_t now)
{
	enum turn_end end = turn(session);

	settle(session, end);
	if (end == TURN_IDLE && now - session->busy_ns > SPIN_NS) {
		cool(session);
		session_watch(&session->base, POLLIN);
	}
	return end != TURN_IDLE;
}

static int tcp_spin(struct tp_server *base)
{
	struct tcp_server *server = CONTAINER_OF(session_server_of(base), struct tcp_server, base);
	uint64_t now = clock_ns();
	struct tcp_session *session, *next;
	bool did = false;

	server->spins = true;
	for (session = TAILQ_FIRST(&server->hot); session; session = next) {
		/* A turn ends no hot session but its own. */
		next = TAILQ_NEXT(session, hot_link);
		did = spin_one(session, now) || did;
	}
	if (!did) /* whoever else wants this processor is most likely who we wait for */
		sched_yield();
	return !TAILQ_EMPTY(&server->hot);
}

/* ---- the rest of the tables ---- */

static void tcp_leave(struct session *base)
{
	struct tcp_session *session = tcp_of(base);

	cool(session);
	session->write_to = NULL;
	session->answer_count = 0;
}

static bool touches(struct tcp_session *session, const struct export *export)
{
	unsigned i;

	if (session->write_to == export)
		return true;
	for (i = 0; i < session->answer_count; i++) {
		if (answer_at(session, i)->from == export)
			return true;
	}
	return false;
}

/* What is half received or half sent cannot be taken back on the wire: such sessions end. */
static void tcp_revoke(struct domain *domain, struct export *export)
{
	struct session *session, *next;

	for (session = TAILQ_FIRST(&domain->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		if (touches(tcp_of(session), export))
			session_end(session);
	}
}

static const struct session_kind tcp_kind = {
	.magic = TP_TCP_MAGIC,
	.bytes = sizeof(struct tcp_session),
	.ready = tcp_ready,
	.leave = tcp_leave,
	.revoke = tcp_revoke,
};

static int tcp_open(struct loop *loop, tp_find_fn *find, void *arg, struct tp_server **out)
{
	struct tcp_server *server = FAULT_POINT() ? NULL : calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	session_server_init(&server->base, &tp_tcp_server, &tcp_kind, loop, find, arg);
	TAILQ_INIT(&server->hot);
	*out = &server->base.base;
	return 0;
}

static void tcp_close(struct tp_server *base)
{
	struct session_server *server = session_server_of(base);

	session_server_clear(server);
	free(CONTAINER_OF(server, struct tcp_server, base));
}

/* Replies are small or whole: waiting to fill a segment gains nothing. */
static int tcp_take(struct tp_server *base, int fd)
{
	static const int on = 1;

	/* Fails on a socket that is dead already, which the session will find out. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return session_take(base, fd);
}

const struct tp_server_ops tp_tcp_server = {
	.open = tcp_open,
	.close = tcp_close,
	.take = tcp_take,
	.spin = tcp_spin,
	.stats = session_server_stats,
	.domain_open = domain_open,
	.domain_cut = domain_cut,
	.domain_close = domain_close,
	.domain_export = domain_export,
	.domain_revoke = domain_revoke,
};
