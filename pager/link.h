/*
 * One donor as the care thread sees it: attempts to reach it, the control connection with its
 * heartbeats and leases, and the data connections it opens for the lanes. Knows nothing of slots.
 * Care thread only, but for link_attend(); never blocks.
 *
 *      AWAY ── link_try() ──▶ TRYING ── link_collect() ──▶ UP ── verdict ──▶ BROKEN
 *       ▲ ◀──────────── it failed ─────────┘                                  │
 *       └──────────── link_settle(): lanes are out, connections closed ───────┘
 */
#ifndef PAGER_LINK_H
#define PAGER_LINK_H

#include "common/base/compiler.h"
#include "common/wire/channel.h"
#include "pager/attempt.h"
#include "pager/config.h"
#include "pager/data.h"
#include "pager/link_switch.h"
#include "pager/verdict.h"

#include <stdbool.h>
#include <stdint.h>

/* A donor that is away is tried again so long after the last attempt. */
#define LINK_RETRY_NS UINT64_C(2000000000)
/* How long an attempt may take; the first one, for which the program waits, may be given less. */
#define LINK_ATTEMPT_NS UINT64_C(5000000000)

enum link_state { LINK_AWAY, LINK_TRYING, LINK_UP, LINK_BROKEN };

struct link_options {
	const struct config_donor *donor; /* copied */
	enum config_transport transport;
	struct transports *transports; /* outlive the link, as does this: */
	struct connector *connector;
	void (*wake)(void *arg); /* any thread: there is something to do at once */
	void *arg;
};

struct link {
	enum link_state state;
	struct config_donor donor; /* constant */
	struct attempt attempt;
	struct channel channel;
	struct verdict verdict;
	char why[ATTEMPT_WHY_BYTES]; /* of the verdict, where there is more to say than the errno */
	struct data data[STORE_LANES];
	struct link_switch exchange;

	/* from the greeting */
	enum tp_kind kind;
	uint64_t slab_bytes, lease_ns, renew_ns;

	uint64_t room;	     /* slabs it can lend, by its last word; asked ones among them */
	uint32_t asked;	     /* slabs asked for and not yet granted */
	uint32_t asking;     /* LEASEs not answered yet */
	uint16_t serial;     /* of the next LEASE */
	uint64_t renewed_ns; /* when the RENEW was sent that is not answered yet; 0 for none */
	uint64_t next_renew_ns;
	uint64_t lease_end_ns; /* when the leases end unless another RENEW is answered */
	uint64_t next_try_ns;
	bool was_lost;		      /* since it was last up, for the statistics */
	char said[ATTEMPT_WHY_BYTES]; /* why it is away, as last logged */
};

int link_open(const struct link_options *options, struct link **out) MUST_CHECK;
/*
 * Says goodbye if it is up. The lanes must be at rest. False if an attempt goes on that cannot be
 * ended: then link and transports must stay until the process ends.
 */
bool link_close(struct link *link) MUST_CHECK;

/* AWAY: wants an attempt, which ends by itself at deadline_ns. */
void link_try(struct link *link, uint64_t deadline_ns);
/* Control thread: the attempt's thread, and before RDMA is used the connector's. */
void link_attend(struct link *link);

/* TRYING: true if the donor has just come up. A failure is logged once per cause. */
bool link_collect(struct link *link, uint64_t now_ns) MUST_CHECK;

/* UP: 1 and a GRANT to be used or returned, 0 if there is none. Handles all other messages. */
int link_hear(struct link *link, struct wire_grant *out) MUST_CHECK;

/* UP: renews the leases when it is time (every second at least if `eager`), ends what is over. */
void link_beat(struct link *link, uint64_t now_ns, bool is_eager);

/*
 * Asks for so many, or fewer: no more at once than can be attached in one go when they are granted.
 * `asked` says.
 */
void link_ask(struct link *link, uint32_t slabs);
/* At most WIRE_MAX_LEASES. */
void link_return(struct link *link, const uint64_t *keys, uint32_t count);

/* Care thread's own verdict, with a clause that says more than the errno. */
void link_give_up(struct link *link, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* UP with a verdict: goes to BROKEN and returns why, as one clause. */
const char *link_break(struct link *link);

/* BROKEN: closes what the lanes are out of. True when the last data connection was closed now. */
bool link_settle(struct link *link, uint64_t now_ns) MUST_CHECK;

#endif
