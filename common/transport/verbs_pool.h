/*
 * The heap that the RDMA libraries get in place of malloc: one shared mapping, which the engine
 * never adopts, cut into spans of 64 KiB. A span holds pieces of one size, a power of two, or is
 * part of a larger piece. Address space is reserved at once and costs memory only where touched.
 * Not inherited by fork. Any thread may call; nothing here calls malloc.
 */
#ifndef COMMON_TRANSPORT_VERBS_POOL_H
#define COMMON_TRANSPORT_VERBS_POOL_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

#define VERBS_POOL_SPAN ((size_t)64 * 1024)

struct verbs_pool;

/* bytes: of the reservation, some of which is the pool's own book. NULL: no memory. */
struct verbs_pool *verbs_pool_open(size_t bytes) MUST_CHECK;
void verbs_pool_close(struct verbs_pool *pool);

/* align: a power of two up to VERBS_POOL_SPAN. Not zeroed. NULL when the pool is used up. */
void *verbs_pool_alloc(struct verbs_pool *pool, size_t bytes, size_t align) MUST_CHECK;
/* Only what came from here. */
void verbs_pool_free(struct verbs_pool *pool, void *ptr);

bool verbs_pool_owns(const struct verbs_pool *pool, const void *ptr);
/* How many bytes the piece has room for. Only what came from here. */
size_t verbs_pool_room(struct verbs_pool *pool, const void *ptr);

#endif
