/* What the device and the connection manager report, as errnos of transport.h. Pure. */
#ifndef COMMON_TRANSPORT_VERBS_STATUS_H
#define COMMON_TRANSPORT_VERBS_STATUS_H

#include "common/base/compiler.h"

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>

/* 0, or the negative errno of a completion. A request that was flushed is -ECANCELED. */
int verbs_status_of_completion(enum ibv_wc_status status) MUST_CHECK;

/*
 * The negative errno that an event means to who waits for another one, or whose connection is
 * established. `status` is the event's. Rejections are verbs_greeting_rejected()'s.
 */
int verbs_status_of_event(enum rdma_cm_event_type type, int status) MUST_CHECK;

/* Whether the event means the end of an established connection. */
bool verbs_status_is_end(enum rdma_cm_event_type type);

#endif
