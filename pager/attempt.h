/*
 * One attempt to reach a donor: its name, the control connection, the greeting, and a data
 * connection for each lane. Every step may take seconds, and a name as long as the C library likes,
 * so it runs on a thread of its own, which the control thread starts and collects.
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
	void (*wake)(void *arg); /* called at the end, on the attempt's thread */
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

/* Starts the thread. What pthread_create() says; then there is nothing to collect. */
int attempt_start(struct attempt *attempt) MUST_CHECK;
bool attempt_is_done(const struct attempt *attempt);
/* After it is done: ends the thread, if it had one. Channel and connections, if any, are the
 * caller's. */
void attempt_collect(struct attempt *attempt);

/* For the connector: between the two the attempt is under way. */
void attempt_prepare(struct attempt *attempt);
void attempt_carry_out(struct attempt *attempt);

/* Closes what the attempt has opened, if it was successful: nobody wants it. */
void attempt_undo(struct attempt *attempt);

/*
 * Gives up on an attempt that may be under way: it will not call wake any more and closes what it
 * opens. True if it has ended; false if it goes on, and needs all it was given until the process
 * ends (it hangs in the C library's resolver, which cannot be interrupted).
 */
bool attempt_abandon(struct attempt *attempt) MUST_CHECK;

#endif
