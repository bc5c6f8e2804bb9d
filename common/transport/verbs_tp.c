#include "common/transport/verbs_tp.h"

#include <errno.h>
#include <string.h>

/* ---- adapters ---- */

static int add_region(struct verbs_adapter *adapter, void *base, size_t bytes)
{
	unsigned n = atomic_load_explicit(&adapter->region_count, memory_order_relaxed);
	struct verbs_region *region = &adapter->regions[n];
	int err;

	err = verbs_device_register(&adapter->device, adapter->pd, base, bytes,
				    IBV_ACCESS_LOCAL_WRITE, &region->mr);
	if (err)
		return err;
	region->base = (uintptr_t)base;
	region->bytes = bytes;
	atomic_store_explicit(&adapter->region_count, n + 1, memory_order_release);
	return 0;
}

static void adapter_close(struct verbs_adapter *adapter, const struct tp_options *options)
{
	const struct verbs_lib *lib = adapter->device.lib;
	unsigned i;

	for (i = 0; i < atomic_load(&adapter->region_count); i++)
		lib->dereg_mr(adapter->regions[i].mr);
	if (adapter->pd)
		lib->dealloc_pd(adapter->pd);
	verbs_device_close(&adapter->device);
	tp_free(options, adapter, sizeof(*adapter));
}

static int register_all(const struct verbs_tp *tp, struct verbs_adapter *adapter)
{
	unsigned i;
	int err;

	for (i = 0; i < tp->region_count; i++) {
		err = add_region(adapter, tp->regions[i].base, tp->regions[i].bytes);
		if (err)
			return err;
	}
	return 0;
}

static int adapter_open(const struct verbs_tp *tp, const char *name, struct verbs_adapter **out)
{
	const struct tp_options *options = &tp->base.options;
	struct verbs_adapter *adapter;
	int err;

	adapter = tp_alloc(options, sizeof(*adapter));
	if (!adapter)
		return -ENOMEM;
	err = verbs_device_open(tp->lib, name, &adapter->device);
	if (err) {
		tp_free(options, adapter, sizeof(*adapter));
		return err;
	}
	adapter->pd = tp->lib->alloc_pd(adapter->device.context);
	err = adapter->pd ? register_all(tp, adapter) : verbs_lib_error(tp->lib);
	if (err) {
		adapter_close(adapter, options);
		return err;
	}
	*out = adapter;
	return 0;
}

static int find_or_open(struct verbs_tp *tp, const char *name, struct verbs_adapter **out)
{
	unsigned i;
	int err;

	for (i = 0; i < tp->adapter_count; i++) {
		if (strcmp(verbs_device_name(&tp->adapters[i]->device), name) == 0) {
			*out = tp->adapters[i];
			return 0;
		}
	}
	if (tp->adapter_count == VERBS_MAX_ADAPTERS)
		return -ENOSPC;
	err = adapter_open(tp, name, out);
	if (err)
		return err;
	tp->adapters[tp->adapter_count++] = *out;
	return 0;
}

int verbs_tp_adapter(struct verbs_tp *tp, const char *name, struct verbs_adapter **out)
{
	int err;

	lock_acquire(&tp->lock);
	err = find_or_open(tp, name, out);
	lock_release(&tp->lock);
	return err;
}

/* There are few: the engine has two or three. */
const struct ibv_mr *verbs_adapter_find(const struct verbs_adapter *adapter, const void *local,
					size_t bytes)
{
	unsigned i, n = atomic_load_explicit(&adapter->region_count, memory_order_acquire);

	for (i = 0; i < n; i++) {
		const struct verbs_region *region = &adapter->regions[i];
		uintptr_t offset = (uintptr_t)local - region->base;

		if (offset < region->bytes && bytes <= region->bytes - offset)
			return region->mr;
	}
	return NULL;
}

/* ---- the tp ---- */

int verbs_tp_open(const struct tp_options *options, struct tp **out)
{
	const struct verbs_lib *lib;
	struct verbs_tp *tp;
	int err;

	err = verbs_lib_load(&lib);
	if (err)
		return err;
	tp = tp_alloc(options, sizeof(*tp));
	if (!tp)
		return -ENOMEM;
	tp_init(&tp->base, &tp_verbs_client, TP_VERBS, options);
	tp->lib = lib;
	*out = &tp->base;
	return 0;
}

void verbs_tp_close(struct tp *base)
{
	struct verbs_tp *tp = verbs_tp_of(base);
	struct tp_options options = base->options;
	unsigned i;

	for (i = 0; i < tp->adapter_count; i++)
		adapter_close(tp->adapters[i], &options);
	tp_free(&options, tp, sizeof(*tp));
}

static int register_everywhere(struct verbs_tp *tp, void *base, size_t bytes)
{
	unsigned i;
	int err;

	if (tp->region_count == VERBS_MAX_REGIONS)
		return -ENOSPC;
	for (i = 0; i < tp->adapter_count; i++) {
		err = add_region(tp->adapters[i], base, bytes);
		if (err)
			return err;
	}
	tp->regions[tp->region_count].base = base;
	tp->regions[tp->region_count].bytes = bytes;
	tp->region_count++;
	return 0;
}

int verbs_tp_register(struct tp *tp, void *base, size_t bytes)
{
	struct verbs_tp *verbs = verbs_tp_of(tp);
	int err;

	lock_acquire(&verbs->lock);
	err = register_everywhere(verbs, base, bytes);
	lock_release(&verbs->lock);
	return err;
}
