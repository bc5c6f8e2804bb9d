/*
 * What the connections of a client's tp share: its local memory, and the devices that its
 * connections go through, each opened when the first one does, with all of that memory registered.
 * Opening and registering take a lock; looking up a key does neither, and may run beside a
 * registration: entries are added and never change.
 */
#ifndef COMMON_TRANSPORT_VERBS_TP_H
#define COMMON_TRANSPORT_VERBS_TP_H

#include "common/base/lock.h"
#include "common/transport/ops.h"
#include "common/transport/verbs_device.h"

#define VERBS_MAX_REGIONS 64
#define VERBS_MAX_ADAPTERS 8

struct verbs_region {
	uintptr_t base;
	size_t bytes;
	struct ibv_mr *mr;
};

/* A device as a tp uses it. */
struct verbs_adapter {
	struct verbs_device device;
	struct ibv_pd *pd;
	_Atomic unsigned region_count;
	struct verbs_region regions[VERBS_MAX_REGIONS];
};

struct verbs_tp {
	struct tp base;
	const struct verbs_lib *lib;
	struct lock lock;
	unsigned region_count; /* guarded by lock, as all below */
	struct {
		void *base;
		size_t bytes;
	} regions[VERBS_MAX_REGIONS];
	unsigned adapter_count;
	struct verbs_adapter *adapters[VERBS_MAX_ADAPTERS];
};

/* The members of tp_client_ops. */
int verbs_tp_open(const struct tp_options *options, struct tp **out) MUST_CHECK;
void verbs_tp_close(struct tp *tp);
int verbs_tp_register(struct tp *tp, void *base, size_t bytes) MUST_CHECK;

/* The adapter of the device with this name, opened if need be. Explained. */
int verbs_tp_adapter(struct verbs_tp *tp, const char *name, struct verbs_adapter **out) MUST_CHECK;

/* The registration that a local buffer lies in, or NULL. On the fault path. */
const struct ibv_mr *verbs_adapter_find(const struct verbs_adapter *adapter, const void *local,
					size_t bytes);

static inline struct verbs_tp *verbs_tp_of(struct tp *tp)
{
	return CONTAINER_OF(tp, struct verbs_tp, base);
}

#endif
