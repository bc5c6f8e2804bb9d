/*
 * RDMA beside TCP: programs on hosts that have a device reach the slabs without this host's CPUs.
 * Connections come in at the addresses of --listen under the port numbers that TCP has there; the
 * control connection stays on TCP and tells the client (verbs_port in WELCOME).
 */
#ifndef DONOR_RDMA_H
#define DONOR_RDMA_H

#include "common/base/compiler.h"
#include "donor/options.h"

#include <stdint.h>

struct donor;

/*
 * After the listeners are open, before the first session. Without a device, or with --rdma off,
 * there is no RDMA and 0 is returned, unless it is required: then `why` says what is missing.
 */
int rdma_open(struct donor *donor, char why[DONOR_WHY_BYTES]) MUST_CHECK;

/* The RDMA port for a client that came in at this TCP port; 0 if there is none. */
uint16_t rdma_port(const struct donor *donor, uint16_t tcp_port);

#endif
