/*
 * Exchanging a donor's data connections while its session lives: away from RDMA when that fails and
 * the donor still answers, and back when it can be had again. The donor closes what a session has
 * over one transport when it comes over another, so nothing written before can take effect later.
 * Until new connections are there nobody is served, so on this way nothing of the program's memory
 * is touched, by this thread neither: not even to say what is going on. Care thread only; part
 * of link.h.
 *
 *   STEADY ── trouble ──▶ SHUTTING ──── lanes are out ────▶ CONNECTING ──▶ CONNECTED ──▶ STEADY
 *     │ ▲                    ▲ └── connections are there ───────────────────▲  │
 *     │ └─ no success ───┐   │                                 failed: verdict ◀┘
 *     └─ time to look ─▶ RETURNING, while the old connections serve
 */
#ifndef PAGER_LINK_SWITCH_H
#define PAGER_LINK_SWITCH_H

#include "common/base/compiler.h"
#include "pager/connector.h"

#include <stdbool.h>
#include <stdint.h>

struct link;

enum link_switch_state {
	SWITCH_STEADY,
	SWITCH_RETURNING,
	SWITCH_SHUTTING,
	SWITCH_CONNECTING,
	SWITCH_CONNECTED, /* until link_switch_finish() */
};

struct link_switch {
	enum link_switch_state state;
	struct connector *connector; /* the store's */
	uint64_t next_look_ns;	     /* 0: RDMA is in use, or not to be had any more */
	bool is_closed;		     /* RDMA is, to this process, which has changed its identity */
	int trouble; /* what the connections in use before ended with; 0 going back */
};

/*
 * The donor has just come up: where that is over RDMA its connections may be exchanged from now on,
 * those over tcp that take their place, too: the donor cuts them when a request for an RDMA
 * connection comes, be it one that we have given up meanwhile.
 */
void link_switch_allow(struct link *link);

/*
 * UP, in every tick: true when there are new connections, in link->attempt: then the slabs have to
 * be attached there, the lanes reopened on them, and link_switch_finish() be called.
 */
bool link_switch_turn(struct link *link, uint64_t now_ns) MUST_CHECK;
void link_switch_finish(struct link *link, uint64_t now_ns);

/* Whether there are no connections just now: nothing can be attached or detached. */
bool link_is_switching(const struct link *link);

/* Whether the connector is at it. */
bool link_switch_is_trying(const struct link *link);

/* With a verdict: what is under way comes to nothing. False: not yet, an attempt is running. */
bool link_switch_end(struct link *link) MUST_CHECK;

#endif
