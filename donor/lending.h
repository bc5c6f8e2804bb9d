/*
 * Slabs to clients and back: what turns a LEASE into slabs of the arena, leases in the table and
 * exports in the session's domains, and all three back into nothing.
 *
 * A LEASE that cannot be granted at once waits for the arena. Those that wait get one slab each in
 * turn, so that one who wants many does not keep the others waiting.
 */
#ifndef DONOR_LENDING_H
#define DONOR_LENDING_H

#include "common/base/compiler.h"
#include "common/wire/wire.h"

#include <stdint.h>
#include <sys/queue.h>

struct donor;
struct donor_session;

/* LEASE messages of one session that may wait: more than a client ever needs. */
#define LENDING_MAX_WAITING 8

struct lending {
	TAILQ_HEAD(, lending_wait) waits;
	unsigned lacking; /* slabs that all of them lack */
};

void lending_init(struct lending *lending);

/* A GRANT follows, now or soon. -ENOBUFS when too many wait already, or -ENOMEM. */
int lending_ask(struct donor_session *session, uint32_t request, uint32_t slabs) MUST_CHECK;

/*
 * Shares leases of another session, all that are named or, if that is not possible, none. A GRANT
 * follows at once.
 */
void lending_share(struct donor_session *session, const struct wire_share *share);

/* Tells the client which of its leases are not shared any more, if it does not know. */
void lending_tell_sole(struct donor_session *session);

/* Ends those leases; keys that are not (any more) the session's mean nothing. */
void lending_take_back(struct donor_session *session, const struct wire_keys *keys);

/* The session is over: it waits for nothing and holds nothing. */
void lending_forget(struct donor_session *session);

/* Ends the leases whose time is over and tells their holders. */
void lending_expire(struct donor *donor, uint64_t now_ns);

/* Slabs may have become ready, or sessions have come or gone: grants, and tells the arena. */
void lending_go_on(struct donor *donor);

#endif
