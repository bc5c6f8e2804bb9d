/*
 * The donor's end of a data connection over a socket, from the accepted descriptor to its end: what
 * tcp and shm have in common. On the loop's thread only.
 *
 *      take ──▶ HELLO ── token known ──▶ OPEN ── refused ──▶ LEAVING ──▶ freed
 *                 │                        │                    ▲ │
 *                 └── token unknown, busy ─┼────────────────────┘ │ peer hung up, or time over
 *                 └── garbage, time over ──┴── peer gone ─────────┴──▶ freed
 *
 * A session that LEAVES has said its last word and only waits for the peer to read it: closing a
 * socket with unread bytes in it would make the kernel throw that word away.
 */
#ifndef COMMON_TRANSPORT_SESSION_H
#define COMMON_TRANSPORT_SESSION_H

#include "common/transport/domain.h"
#include "common/transport/frame.h"

struct loop;
struct loop_timer;
struct loop_watch;

enum session_state { SESSION_HELLO, SESSION_OPEN, SESSION_LEAVING };

struct session {
	struct session_server *server;
	struct domain *domain; /* in OPEN */
	enum session_state state;
	int fd;
	struct loop_watch *watch;
	uint32_t events;	   /* watched for */
	uint64_t deadline_ns;	   /* but in OPEN */
	TAILQ_ENTRY(session) link; /* OPEN: the domain's sessions; else the server's waiting ones */
	size_t hello_len;
	uint8_t hello[FRAME_HELLO_BYTES];
};

/* What makes a kind of session; each struct begins with a struct session. */
struct session_kind {
	uint32_t magic;
	size_t bytes; /* of the kind's session */
	bool needs_memfd;
	/* OPEN and something to be done. May end the session, which is the last it does then. */
	void (*ready)(struct session *session);
	/* No longer OPEN: forgets everything about memory. */
	void (*leave)(struct session *session);
	/* Sees to it that no session touches the memory any more. */
	void (*revoke)(struct domain *domain, struct export *export);
};

struct session_server {
	struct tp_server base;
	const struct session_kind *kind;
	struct loop *loop;
	tp_find_fn *find;
	void *find_arg;
	TAILQ_HEAD(, session) waiting; /* HELLO and LEAVING, the longest waiting first */
	unsigned waiting_count;
	struct loop_timer *timer; /* while any wait, else NULL */
	struct tp_server_stats stats;
};

/* Fills in what the caller has allocated zeroed. */
void session_server_init(struct session_server *server, const struct tp_server_ops *ops,
			 const struct session_kind *kind, struct loop *loop, tp_find_fn *find,
			 void *arg);
/* Ends all sessions that have no domain. */
void session_server_clear(struct session_server *server);
void session_server_stats(const struct tp_server *server, struct tp_server_stats *out);

/* tp_server_take(). */
int session_take(struct tp_server *server, int fd) MUST_CHECK;

/* Ends it now, in any state, and frees it. */
void session_end(struct session *session);

/* The last word is sent: OPEN or HELLO becomes LEAVING. */
void session_leave(struct session *session);

/* Changes what the descriptor is watched for (POLLIN, POLLOUT, 0). */
void session_watch(struct session *session, uint32_t events);

static inline struct session_server *session_server_of(struct tp_server *server)
{
	return CONTAINER_OF(server, struct session_server, base);
}

#endif
