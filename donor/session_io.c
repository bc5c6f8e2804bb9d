/* The bytes of a session: what it sends, and what it hears and passes on to session_talk.c. */
#include "donor/session.h"

#include "common/base/loop.h"
#include "donor/donor.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* One client's messages in one turn, before the others have theirs. */
#define MESSAGES_PER_TURN 256

/* ---- sending ---- */

static void watch_for_write(struct donor_session *session)
{
	bool wants = channel_wants_write(&session->channel);

	if (wants == session->is_watched_for_write)
		return;
	session->is_watched_for_write = wants;
	if (loop_rewatch(session->watch, wants ? POLLIN | POLLOUT : POLLIN))
		donor_session_end(session, "out of memory");
}

static void shut_down_when_sent(struct donor_session *session)
{
	if (channel_wants_write(&session->channel) || session->has_shut_down)
		return;
	session->has_shut_down = true;
	/* Fails only when the client has gone: reading will tell. */
	if (shutdown(session->channel.fd, SHUT_WR))
		return;
}

static const char *why_lost(int err)
{
	switch (err) {
	case -ECONNRESET:
	case -EPIPE:
		return "the client is gone";
	case -ENOBUFS:
		return "the client does not read what it asked for";
	default:
		return strerror(-err);
	}
}

static void send_now(struct donor_session *session, const struct wire_message *message)
{
	int err = channel_send(&session->channel, message);

	if (err)
		donor_session_end(session, why_lost(err));
	else
		watch_for_write(session);
}

void donor_session_send(struct donor_session *session, const struct wire_message *message)
{
	if (session->state == DONOR_SESSION_OPEN)
		send_now(session, message);
}

void donor_session_send_last(struct donor_session *session, const struct wire_message *message)
{
	send_now(session, message);
	if (session->state == DONOR_SESSION_LEAVING)
		shut_down_when_sent(session);
}

/* ---- receiving ---- */

static void flush(struct donor_session *session)
{
	int err = channel_flush(&session->channel);

	if (err && err != -EAGAIN) {
		donor_session_end(session, why_lost(err));
		return;
	}
	watch_for_write(session);
	if (session->state == DONOR_SESSION_LEAVING)
		shut_down_when_sent(session);
}

/* What a refused client still says does not matter; that it hangs up does. */
static void discard(struct donor_session *session)
{
	char nowhere[WIRE_MAX_FRAME];
	ssize_t n = recv(session->channel.fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		donor_session_end(session, "refused");
}

static bool is_listened_to(const struct donor_session *session)
{
	return session->state == DONOR_SESSION_GREETING || session->state == DONOR_SESSION_OPEN;
}

/* Bytes are no sign of life, whole messages are. */
static void take(struct donor_session *session, const struct wire_message *message)
{
	donor_session_note_life(session);
	donor_session_answer(session, message);
}

void donor_session_receive(struct donor_session *session)
{
	struct wire_message message;
	int n;

	session->has_more = false;
	for (unsigned i = 0; i < MESSAGES_PER_TURN && is_listened_to(session); i++) {
		n = channel_receive(&session->channel, &message);
		if (n == 0)
			return;
		if (n == -EPROTO)
			donor_session_refuse(session, WIRE_E_PROTOCOL,
					     "not a message of the control protocol");
		else if (n < 0)
			donor_session_end(session, why_lost(n));
		else
			take(session, &message);
	}
	/* The loop does not know of bytes that the channel holds. */
	session->has_more = is_listened_to(session);
}

void donor_session_ready(void *arg, uint32_t events)
{
	struct donor_session *session = arg;
	struct donor *donor = session->donor;

	if (events & POLLOUT)
		flush(session);
	if (is_listened_to(session))
		donor_session_receive(session);
	else if (session->state == DONOR_SESSION_LEAVING)
		discard(session);
	donor_sessions_settle(donor);
}
