/*
 * The transports of one process: shm and tcp at once, verbs when a donor offers it, since loading
 * the RDMA libraries takes time and memory that most programs need not spend. Buffers are
 * registered with all of them, whenever they are opened. Opened and closed by one thread, the rest
 * from any.
 */
#ifndef PAGER_TRANSPORTS_H
#define PAGER_TRANSPORTS_H

#include "common/base/compiler.h"
#include "common/base/lock.h"
#include "common/transport/transport.h"

#include <stddef.h>

#define TRANSPORTS_REGIONS 64 /* as many as verbs takes */

struct transports {
	struct lock lock;
	struct tp_options options;
	struct tp *tps[TP_KINDS]; /* NULL: not opened (yet) */
	unsigned region_count;
	struct {
		void *base;
		size_t bytes;
	} regions[TRANSPORTS_REGIONS];
};

/* NULL options: the C library's memory. On failure nothing is left open. */
int transports_open(struct transports *transports, const struct tp_options *options) MUST_CHECK;
/* After all connections. */
void transports_close(struct transports *transports);

/*
 * The transport of a kind. May block while libraries are loaded; not for the fault path. -ENODEV:
 * there is no device; tp_why() says more.
 */
int transports_get(struct transports *transports, enum tp_kind kind, struct tp **out) MUST_CHECK;

/* Makes [base, base+bytes) usable as buffers with all of them. -ENOSPC from the 65th on. */
int transports_register(struct transports *transports, void *base, size_t bytes) MUST_CHECK;

#endif
