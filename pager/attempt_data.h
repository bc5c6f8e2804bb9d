/* The data connections of an attempt: which transport, and why not another one. */
#ifndef PAGER_ATTEMPT_DATA_H
#define PAGER_ATTEMPT_DATA_H

#include "pager/attempt.h"

/*
 * Connects all lanes over the first of shm (on this host), verbs (where both sides have RDMA) and
 * tcp that works, or over the one that the user wants. Needs the welcome,
 * and the address that answered. 0, or an error with `why`. Blocks.
 */
int attempt_connect_data(struct attempt *attempt) MUST_CHECK;

/*
 * The same for a session that lives, over attempt->again alone. Without `why`. Touches no memory of
 * the program's.
 */
int attempt_connect_again(struct attempt *attempt) MUST_CHECK;

/* Fills `why` and returns err. */
int attempt_fail(struct attempt *attempt, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
