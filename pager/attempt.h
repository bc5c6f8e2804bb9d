/*
 * One attempt to reach a donor: its name, the control connection, the greeting, and a data
 * connection for each lane. Every step may take seconds, and a name as long as the C library likes,
 * so it runs on a thread of its own. Making and joining one reads memory of the program's, which
 * may be out; so whoever wants the attempt may leave that to another thread:
 *
 *      IDLE ── attempt_want() ──▶ WANTED ── attempt_attend() ──▶ RUNNING ── it ends ──▶ ENDED
 *       ▲ ◀── attempt_collect() ── DONE ◀────────────── attempt_attend() ─────────────────┘
 *
 * Those of the connector (connector.h), whose thread is there all the time, go from IDLE to RUNNING
 * and DONE by themselves.
 */
#ifndef PAGER_ATTEMPT_H
#define PAGER_ATTEMPT_H

#include "common/base/compiler.h"
#include "common/transport/transport.h"
#include "common/wire/channel.h"
#include "pager/config.h"
#include "pager/store.h"
#include "pager/transports.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ATTEMPT_WHY_BYTES 300

enum attempt_mode {
	ATTEMPT_WHOLE,
	ATTEMPT_AGAIN, /* data connections only, while the session lives: connector.h */
};

struct attempt {
	/* in; what is pointed to must outlive the attempt */
	const struct config_donor *donor;
	enum config_transport transport;
	struct transports *transports;
	struct channel *channel;
	uint64_t deadline_ns;
	enum attempt_mode mode;
	enum tp_kind again;	 /* AGAIN: over this one */
	void (*wake)(void *arg); /* called when it is to be attended to; any thread */
	void *arg;

	/* out, once attempt_is_done() */
	int err;		     /* if not 0, `why` is all there is */
	char why[ATTEMPT_WHY_BYTES]; /* one clause */
	enum tp_kind kind;
	struct tp_conn *conns[STORE_LANES];
	struct wire_welcome welcome;
	struct sockaddr_storage address; /* the one that answered */
	uint64_t greeted_ns;		 /* the lease counts from then at the earliest */

	/* its own */
	uint8_t host_id[WIRE_HOST_ID_BYTES];
	_Atomic uint32_t state;
	pthread_t thread;
};

/* Of mode WHOLE: it is to be made. */
void attempt_want(struct attempt *attempt);
/*
 * Starts the thread of one that is wanted, joins that of one that has ended. An attempt that gets
 * no thread is done, with an error. True if it has become done.
 */
bool attempt_attend(struct attempt *attempt);
bool attempt_has_ended(const struct attempt *attempt); /* and is to be joined */
bool attempt_is_done(const struct attempt *attempt);
/* After it is done. Channel and connections, if any, are the caller's. */
void attempt_collect(struct attempt *attempt);

/* For the connector: between the two the attempt is under way. */
void attempt_prepare(struct attempt *attempt);
void attempt_carry_out(struct attempt *attempt);

/* Closes what the attempt has opened, if it was successful: nobody wants it. */
void attempt_undo(struct attempt *attempt);

/*
 * Gives up on an attempt that may be under way, while nobody attends to it: it will not call wake
 * any more and closes what it opens. True if it has ended; false if it goes on, and needs all it
 * was given until the process ends (it hangs in the C library's resolver, which cannot be
 * interrupted).
 */
bool attempt_abandon(struct attempt *attempt) MUST_CHECK;

#endif
