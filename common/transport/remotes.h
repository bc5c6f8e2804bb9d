/*
 * The remote memories attached to one connection: handle to key, bounds and (shm) mapping. Adding
 * and removing take a lock and may allocate; looking up does neither, so that it may run while a
 * fault is served, and beside an add on another thread: entries never move.
 */
#ifndef COMMON_TRANSPORT_REMOTES_H
#define COMMON_TRANSPORT_REMOTES_H

#include "common/base/lock.h"
#include "common/transport/ops.h"

#define REMOTES_PER_CHUNK 256
#define REMOTES_CHUNKS (TP_MAX_REMOTES / REMOTES_PER_CHUNK)

struct remote {
	uint64_t key;
	uint64_t bytes;
	uint8_t *base;	    /* shm: where it is mapped */
	uint64_t address;   /* verbs: where it is at the donor */
	uint32_t rkey;	    /* verbs */
	uint32_t next_free; /* while not attached; guarded by lock */
	_Atomic bool attached;
};

struct remotes {
	struct lock lock;
	uint32_t used;	     /* handles ever handed out; guarded by lock */
	uint32_t first_free; /* handle, or TP_MAX_REMOTES for none; guarded by lock */
	struct remote *_Atomic chunks[REMOTES_CHUNKS];
};

void remotes_init(struct remotes *remotes);
/* Frees the table, not what `base` points to. */
void remotes_destroy(struct remotes *remotes, const struct tp_options *options);

/* -ENOSPC or -ENOMEM. `attached` and `next_free` of `remote` do not matter. */
int remotes_add(struct remotes *remotes, const struct tp_options *options,
		const struct remote *remote, uint32_t *out) MUST_CHECK;
void remotes_remove(struct remotes *remotes, uint32_t handle);

/* NULL if nothing is attached under the handle. Any handle may be asked for. */
const struct remote *remotes_find(const struct remotes *remotes, uint32_t handle);

/* The memory that a request names: 0 and `out`; -EINVAL; -EACCES outside of what is attached. */
int remotes_check(const struct remotes *remotes, const struct tp_request *request,
		  const struct remote **out) MUST_CHECK;

#endif
