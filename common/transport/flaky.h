/*
 * A wrapper around any tp that misbehaves in every way the contract allows: completions that come
 * late or in another order, queues that are full, requests that fail, connections that drop. For
 * tests. Wrappers stack: each works on whatever tp it is given, another wrapper included.
 *
 * Counting goes over all connections of the wrapped tp. With all options zero nothing changes but
 * the time things take.
 */
#ifndef COMMON_TRANSPORT_FLAKY_H
#define COMMON_TRANSPORT_FLAKY_H

#include "common/transport/transport.h"

struct tp_flaky_options {
	uint64_t fail_at;     /* the N-th request, from 1 on, fails; 0 for none */
	int fail_status;      /* with this; 0 for -EIO */
	uint64_t drop_at;     /* the connection drops in place of the N-th request; 0 for never */
	uint64_t refuse_at;   /* the N-th tp_connect() fails with -ECONNREFUSED; 0 for none */
	unsigned delay_us;    /* a completion is held back so long */
	bool reorder;	      /* completions that are there leave in random order */
	unsigned full_every;  /* every N-th tp_post() finds the queue full; 0 for none */
	unsigned most_a_post; /* tp_post() accepts no more at once; 0 for no limit */
	uint64_t seed;	      /* of the random order */
};

/* The result owns `inner`, which stays the caller's if this fails. -ENOMEM. */
int tp_flaky_wrap(struct tp *inner, const struct tp_flaky_options *options,
		  struct tp **out) MUST_CHECK;

#endif
