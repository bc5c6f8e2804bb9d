/*
 * Control sessions: one per client, from the first byte of its HELLO to the end of its last lease.
 *
 *   GREETING ──HELLO──▶ OPEN ──BYE, connection lost──────────▶ ENDED ──settle──▶ (freed)
 *     │   │               │                                     ▲ ▲
 *     │   └──garbage──────┴──garbage, silence──▶ LEAVING ───────┘ │
 *     └──no HELLO in time─────────────────────────────────────────┘
 *
 * LEAVING begins with the end of its leases and a WIRE_ERROR, and is over when the client has read
 * that, or has had the time to. Silence: no message for twice the time of a lease.
 *
 * A session LEAVING has said its last word and waits for the client to read it: closing a socket
 * with unread bytes would make the kernel throw that word away.
 *
 * A session may be found dead in the middle of something else, such as a grant to it because
 * another one returned a slab. So it is only marked ENDED then, and freed by
 * donor_sessions_settle(), which every callback of the loop calls last.
 */
#ifndef DONOR_SESSION_H
#define DONOR_SESSION_H

#include "common/transport/transport.h"
#include "common/wire/channel.h"
#include "donor/lease.h"
#include "donor/peer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct donor;
struct loop_watch;

enum donor_session_state {
	DONOR_SESSION_GREETING,
	DONOR_SESSION_OPEN,
	DONOR_SESSION_LEAVING,
	DONOR_SESSION_ENDED,
};

struct donor_session {
	struct donor *donor;
	enum donor_session_state state;
	TAILQ_ENTRY(donor_session) link; /* in the list of its state */
	struct channel channel;
	struct loop_watch *watch;
	bool is_watched_for_write;
	bool has_more;	      /* messages left over from this turn: go on at the next sweep */
	bool has_shut_down;   /* LEAVING, and everything is sent */
	uint64_t deadline_ns; /* GREETING: of HELLO; OPEN: of the next message; LEAVING: its end */
	uint16_t data_port, verbs_port;

	/* From OPEN on. */
	uint64_t id;
	uint8_t token[WIRE_TOKEN_BYTES];
	struct tp_domain *domains[TP_KINDS]; /* NULL where not served */
	struct lease_holder holder;
	unsigned waiting;     /* LEASE messages that wait for slabs */
	uint64_t lent_in_all; /* leases, for the log */
	uint32_t pid;
	char name[WIRE_NAME_BYTES];
	char peer[PEER_TEXT_BYTES];
};

TAILQ_HEAD(donor_session_list, donor_session);

struct donor_sessions {
	struct donor_session_list in_state[DONOR_SESSION_ENDED + 1];
	unsigned count[DONOR_SESSION_ENDED + 1];
	uint64_t next_id;
};

void donor_sessions_init(struct donor_sessions *sessions);

/* Takes a control connection whose magic has not been read. Owns fd from now on. */
void donor_session_open(struct donor *donor, int fd);

/* Ends the leases, sends WIRE_ERROR, and lets the client read it. */
void donor_session_refuse(struct donor_session *session, enum wire_error_code code, const char *fmt,
			  ...) PRINTF_LIKE(3, 4);

/* What limits the lines about it: until its first lease it is a stranger like others. */
struct quiet *donor_session_quiet(const struct donor_session *session);

/* Marks it; `why` is one clause for the log. */
void donor_session_end(struct donor_session *session, const char *why);

/* Ends those whose time is over and goes on with those that had more to say. */
void donor_sessions_sweep(struct donor *donor, uint64_t now_ns);

/* Frees what ended. */
void donor_sessions_settle(struct donor *donor);

/* Tells every client that the donor is going away; their leases end now. */
void donor_sessions_stop(struct donor *donor);
/* Frees all. */
void donor_sessions_close(struct donor *donor);

/* Sessions that are not yet freed. */
unsigned donor_sessions_count(const struct donor_sessions *sessions);

/* The OPEN session with this token, or NULL. */
struct donor_session *donor_session_find(struct donor *donor,
					 const uint8_t token[WIRE_TOKEN_BYTES]);

/* tp_find_fn; arg is a struct donor. One function per kind, as each has its own domains. */
struct tp_domain *donor_find_shm(void *arg, const uint8_t token[TP_TOKEN_BYTES]);
struct tp_domain *donor_find_tcp(void *arg, const uint8_t token[TP_TOKEN_BYTES]);
struct tp_domain *donor_find_verbs(void *arg, const uint8_t token[TP_TOKEN_BYTES]);

/* In session_talk.c: answers one message. May refuse or end the session. */
void donor_session_answer(struct donor_session *session, const struct wire_message *message);

/* In session_io.c. Sends to an OPEN session; one that cannot be sent to is ENDED, others hear
 * nothing. */
void donor_session_send(struct donor_session *session, const struct wire_message *message);
/* Says the last word of a session that is LEAVING. */
void donor_session_send_last(struct donor_session *session, const struct wire_message *message);
/* Answers what has come, as much as fits in one turn; has_more tells whether that was all. */
void donor_session_receive(struct donor_session *session);
/* loop_ready_fn of the connection. */
void donor_session_ready(void *arg, uint32_t events);

/* In session.c, for session_io.c: an OPEN client lives. Its next message is due anew. */
void donor_session_note_life(struct donor_session *session);

/* In session.c, for session_talk.c: GREETING becomes OPEN. Negative errno when it cannot. */
int donor_session_admit(struct donor_session *session) MUST_CHECK;

#endif
