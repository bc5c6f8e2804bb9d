#include "donor/session.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/loop.h"
#include "donor/donor.h"
#include "donor/rdma.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* A client that means well says HELLO at once. */
#define GREETING_NS (5ull * 1000000000)
/*
 * So many times the length of a lease a client may say nothing at all. One would do: its leases are
 * over by then. Another one lets it hear so and go on, before its place is somebody else's.
 */
#define SILENT_LEASES 2
/* How long a client may take to read why it was refused. */
#define LEAVING_NS 1000000000ull
/* Refused clients that may be reading at the same time; a flood of them costs no more. */
#define LEAVING_MAX 64
#define NS_PER_MS 1000000ull

/* ---- states ---- */

static void enter(struct donor_session *session, enum donor_session_state state)
{
	struct donor_sessions *sessions = &session->donor->sessions;

	TAILQ_REMOVE(&sessions->in_state[session->state], session, link);
	sessions->count[session->state]--;
	session->state = state;
	TAILQ_INSERT_TAIL(&sessions->in_state[state], session, link);
	sessions->count[state]++;
}

/* What the client had is the donor's again. */
static void take_all_back(struct donor_session *session)
{
	lending_forget(session);
	for (unsigned kind = 0; kind < TP_KINDS; kind++) {
		if (session->domains[kind])
			tp_domain_close(session->domains[kind]);
		session->domains[kind] = NULL;
	}
	explicit_bzero(session->token, sizeof(session->token));
}

struct quiet *donor_session_quiet(const struct donor_session *session)
{
	struct donor *donor = session->donor;

	return session->lent_in_all ? &donor->clients : &donor->strangers;
}

static void log_end(const struct donor_session *session, const char *why)
{
	struct quiet *quiet = donor_session_quiet(session);

	if (session->state == DONOR_SESSION_OPEN)
		quiet_line(quiet, clock_ns(), LOG_INFO,
			   "session %" PRIu64 " closed: %s: %s[%u] from %s, %u leases taken back, "
			   "%" PRIu64 " in all",
			   session->id, why, session->name, session->pid, session->peer,
			   session->holder.count, session->lent_in_all);
	else if (session->state == DONOR_SESSION_GREETING && !session->donor->is_stopping)
		quiet_line(quiet, clock_ns(), LOG_INFO, "%s closed before it was a session: %s",
			   session->peer, why);
}

void donor_session_end(struct donor_session *session, const char *why)
{
	if (session->state == DONOR_SESSION_ENDED)
		return;
	log_end(session, why);
	enter(session, DONOR_SESSION_ENDED);
}

static void session_free(struct donor_session *session)
{
	struct donor_sessions *sessions = &session->donor->sessions;

	take_all_back(session);
	TAILQ_REMOVE(&sessions->in_state[session->state], session, link);
	sessions->count[session->state]--;
	loop_unwatch(session->watch);
	channel_close(&session->channel);
	free(session);
}

void donor_sessions_settle(struct donor *donor)
{
	struct donor_session_list *ended = &donor->sessions.in_state[DONOR_SESSION_ENDED];

	/* Slabs that come back may be granted to others, which may turn out to be dead, too. */
	while (!TAILQ_EMPTY(ended)) {
		session_free(TAILQ_FIRST(ended));
		lending_go_on(donor);
	}
}

/* ---- refusing ---- */

/* The one that has been leaving for longest has had its chance. */
static void limit_leaving(struct donor_sessions *sessions)
{
	if (sessions->count[DONOR_SESSION_LEAVING] >= LEAVING_MAX)
		donor_session_end(TAILQ_FIRST(&sessions->in_state[DONOR_SESSION_LEAVING]),
				  "refused");
}

void donor_session_refuse(struct donor_session *session, enum wire_error_code code, const char *fmt,
			  ...)
{
	struct wire_message message = {.type = WIRE_ERROR};
	va_list args;

	if (session->state >= DONOR_SESSION_LEAVING)
		return;
	message.error.code = (uint16_t)code;
	va_start(args, fmt);
	vsnprintf(message.error.text, sizeof(message.error.text), fmt, args);
	va_end(args);
	log_end(session, message.error.text);
	take_all_back(session);
	if (code != WIRE_E_STOPPING)
		limit_leaving(&session->donor->sessions);
	enter(session, DONOR_SESSION_LEAVING);
	session->deadline_ns = clock_ns() + LEAVING_NS;
	donor_session_send_last(session, &message);
}

/* ---- silence ---- */

static uint64_t silence_ms(const struct donor *donor)
{
	return (uint64_t)donor->options->lease_ms * SILENT_LEASES;
}

void donor_session_note_life(struct donor_session *session)
{
	if (session->state == DONOR_SESSION_OPEN)
		session->deadline_ns = clock_ns() + silence_ms(session->donor) * NS_PER_MS;
}

static void refuse_if_silent(struct donor_session *session, uint64_t now_ns)
{
	if (session->deadline_ns <= now_ns)
		donor_session_refuse(session, WIRE_E_PROTOCOL, "no sign of life for %" PRIu64 " ms",
				     silence_ms(session->donor));
}

/* ---- opening ---- */

void donor_sessions_init(struct donor_sessions *sessions)
{
	for (unsigned state = 0; state <= DONOR_SESSION_ENDED; state++)
		TAILQ_INIT(&sessions->in_state[state]);
	sessions->next_id = 1;
}

static struct donor_session *session_alloc(struct donor *donor, int fd)
{
	struct donor_session *session;

	if (FAULT_POINT())
		return NULL;
	session = calloc(1, sizeof(*session));
	if (!session)
		return NULL;
	session->donor = donor;
	session->state = DONOR_SESSION_GREETING;
	session->deadline_ns = clock_ns() + GREETING_NS;
	session->data_port = peer_own_port(fd);
	session->verbs_port = rdma_port(donor, session->data_port);
	if (!session->data_port)
		session->data_port = donor->listeners.tcp_port;
	peer_text(fd, session->peer);
	lease_holder_init(&session->holder);
	channel_open(&session->channel, fd);
	return session;
}

static bool is_full(const struct donor *donor)
{
	const unsigned *count = donor->sessions.count;

	return count[DONOR_SESSION_GREETING] + count[DONOR_SESSION_OPEN] >
	       donor->options->max_sessions;
}

/* Who has been owing a HELLO for longer has less right to be here than the newcomer. */
static void make_room(struct donor_session *newcomer)
{
	struct donor *donor = newcomer->donor;
	struct donor_session *oldest =
		TAILQ_FIRST(&donor->sessions.in_state[DONOR_SESSION_GREETING]);

	if (oldest != newcomer)
		donor_session_end(oldest, "others need its place, and it said nothing");
	else
		donor_session_refuse(newcomer, WIRE_E_BUSY,
				     "%u clients are connected, as many as --max-sessions allows",
				     donor->options->max_sessions);
}

static int read_magic(int fd)
{
	uint32_t magic;

	return recv(fd, &magic, sizeof(magic), MSG_DONTWAIT) == sizeof(magic) ? 0 : -EPROTO;
}

static int session_start(struct donor_session *session)
{
	struct donor_sessions *sessions = &session->donor->sessions;
	int fd = session->channel.fd;
	int err;

	err = read_magic(fd);
	if (err)
		return err;
	err = loop_watch(session->donor->loop, fd, POLLIN, donor_session_ready, session,
			 &session->watch);
	if (err)
		return err;
	TAILQ_INSERT_TAIL(&sessions->in_state[DONOR_SESSION_GREETING], session, link);
	sessions->count[DONOR_SESSION_GREETING]++;
	return 0;
}

void donor_session_open(struct donor *donor, int fd)
{
	struct donor_session *session = session_alloc(donor, fd);
	int err;

	if (!session) {
		close(fd);
		return;
	}
	err = session_start(session);
	if (err) {
		quiet_line(&donor->strangers, clock_ns(), LOG_WARN, "%s closed: %s", session->peer,
			   strerror(-err));
		channel_close(&session->channel);
		free(session);
		return;
	}
	if (is_full(donor))
		make_room(session);
	donor_sessions_settle(donor);
}

/* A device has room for so many domains: who finds none goes over tcp. */
static void open_verbs_domain(struct donor_session *session)
{
	struct donor *donor = session->donor;
	int err;

	if (!donor->servers[TP_VERBS] || !session->verbs_port)
		return;
	err = tp_domain_open(donor->servers[TP_VERBS], &session->domains[TP_VERBS]);
	if (err)
		quiet_line(&donor->strangers, clock_ns(), LOG_WARN, "%s cannot use RDMA: %s",
			   session->peer, tp_reason(err));
}

static int open_domains(struct donor_session *session)
{
	int err;

	for (unsigned kind = 0; kind < TP_KINDS; kind++) {
		if (!session->donor->servers[kind] || kind == TP_VERBS)
			continue;
		err = tp_domain_open(session->donor->servers[kind], &session->domains[kind]);
		if (err)
			return err;
	}
	open_verbs_domain(session);
	return 0;
}

int donor_session_admit(struct donor_session *session)
{
	int err;

	if (FAULT_POINT())
		return -EIO;
	if (getrandom(session->token, sizeof(session->token), 0) != sizeof(session->token))
		return -EIO;
	err = open_domains(session);
	if (err)
		return err;
	session->id = session->donor->sessions.next_id++;
	enter(session, DONOR_SESSION_OPEN);
	donor_session_note_life(session);
	quiet_line(&session->donor->strangers, clock_ns(), LOG_INFO,
		   "session %" PRIu64 " opened: %s[%u] from %s", session->id, session->name,
		   session->pid, session->peer);
	/* There is a client: have spare slabs ready. */
	lending_go_on(session->donor);
	return 0;
}

/* ---- all of them ---- */

/* What it has said and nobody has read yet is a sign of life. */
static void sweep_open(struct donor_session *session, uint64_t now_ns)
{
	if (session->has_more)
		donor_session_receive(session);
	if (session->state == DONOR_SESSION_OPEN)
		refuse_if_silent(session, now_ns);
	if (session->state == DONOR_SESSION_OPEN)
		lending_tell_sole(session);
}

/* Both lists are in order of deadline: it is the same time for all in it. */
static void end_overdue(struct donor_sessions *sessions, enum donor_session_state state,
			uint64_t now_ns)
{
	struct donor_session *session;

	while ((session = TAILQ_FIRST(&sessions->in_state[state])) &&
	       session->deadline_ns <= now_ns)
		donor_session_end(session, "it said nothing");
}

void donor_sessions_sweep(struct donor *donor, uint64_t now_ns)
{
	struct donor_session_list *open = &donor->sessions.in_state[DONOR_SESSION_OPEN];
	struct donor_session *session, *next;

	for (session = TAILQ_FIRST(open); session; session = next) {
		next = TAILQ_NEXT(session, link);
		sweep_open(session, now_ns);
	}
	end_overdue(&donor->sessions, DONOR_SESSION_GREETING, now_ns);
	end_overdue(&donor->sessions, DONOR_SESSION_LEAVING, now_ns);
	donor_sessions_settle(donor);
}

static void refuse_all(struct donor_session_list *list)
{
	struct donor_session *session;

	while ((session = TAILQ_FIRST(list)))
		donor_session_refuse(session, WIRE_E_STOPPING, "the donor is going away");
}

void donor_sessions_stop(struct donor *donor)
{
	refuse_all(&donor->sessions.in_state[DONOR_SESSION_GREETING]);
	refuse_all(&donor->sessions.in_state[DONOR_SESSION_OPEN]);
	donor_sessions_settle(donor);
}

void donor_sessions_close(struct donor *donor)
{
	for (unsigned state = 0; state <= DONOR_SESSION_ENDED; state++) {
		struct donor_session_list *list = &donor->sessions.in_state[state];

		while (!TAILQ_EMPTY(list))
			session_free(TAILQ_FIRST(list));
	}
}

unsigned donor_sessions_count(const struct donor_sessions *sessions)
{
	unsigned n = 0;

	for (unsigned state = 0; state <= DONOR_SESSION_ENDED; state++)
		n += sessions->count[state];
	return n;
}

/* No early end: the time taken says nothing about how much of a guess was right. */
static bool is_same_token(const uint8_t *a, const uint8_t *b)
{
	unsigned differs = 0;

	for (unsigned i = 0; i < WIRE_TOKEN_BYTES; i++)
		differs |= (unsigned)(a[i] ^ b[i]);
	return !differs;
}

/*
 * A client that comes over another transport has given the last one up: nothing that is still on
 * its way there may take effect behind what it writes from now on.
 */
static void cut_others(struct donor_session *session, enum tp_kind kind)
{
	for (unsigned other = 0; other < TP_KINDS; other++) {
		if (other != kind && session->domains[other])
			tp_domain_cut(session->domains[other]);
	}
}

struct donor_session *donor_session_find(struct donor *donor, const uint8_t token[WIRE_TOKEN_BYTES])
{
	struct donor_session *session;

	TAILQ_FOREACH (session, &donor->sessions.in_state[DONOR_SESSION_OPEN], link) {
		if (is_same_token(session->token, token))
			return session;
	}
	return NULL;
}

static struct tp_domain *find(struct donor *donor, const uint8_t *token, enum tp_kind kind)
{
	struct donor_session *session = donor_session_find(donor, token);

	if (!session)
		return NULL;
	if (session->domains[kind])
		cut_others(session, kind);
	return session->domains[kind];
}

struct tp_domain *donor_find_shm(void *arg, const uint8_t token[TP_TOKEN_BYTES])
{
	return find(arg, token, TP_SHM);
}

struct tp_domain *donor_find_tcp(void *arg, const uint8_t token[TP_TOKEN_BYTES])
{
	return find(arg, token, TP_TCP);
}

struct tp_domain *donor_find_verbs(void *arg, const uint8_t token[TP_TOKEN_BYTES])
{
	return find(arg, token, TP_VERBS);
}
