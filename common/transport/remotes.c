#include "common/transport/remotes.h"

#include <errno.h>

#define NO_HANDLE TP_MAX_REMOTES
#define CHUNK_BYTES (REMOTES_PER_CHUNK * sizeof(struct remote))

static struct remote *entry(const struct remotes *remotes, uint32_t handle)
{
	struct remote *chunk;

	if (handle >= TP_MAX_REMOTES)
		return NULL;
	chunk = atomic_load_explicit(&remotes->chunks[handle / REMOTES_PER_CHUNK],
				     memory_order_acquire);
	return chunk ? &chunk[handle % REMOTES_PER_CHUNK] : NULL;
}

void remotes_init(struct remotes *remotes)
{
	remotes->first_free = NO_HANDLE;
}

void remotes_destroy(struct remotes *remotes, const struct tp_options *options)
{
	unsigned i;

	for (i = 0; i < REMOTES_CHUNKS; i++)
		tp_free(options, atomic_load(&remotes->chunks[i]), CHUNK_BYTES);
}

/* Makes room for one more handle that was never used. Lock held. */
static int grow(struct remotes *remotes, const struct tp_options *options, uint32_t *out)
{
	uint32_t handle = remotes->used;
	struct remote *chunk;

	if (handle >= TP_MAX_REMOTES)
		return -ENOSPC;
	if (!entry(remotes, handle)) {
		chunk = tp_alloc(options, CHUNK_BYTES);
		if (!chunk)
			return -ENOMEM;
		atomic_store_explicit(&remotes->chunks[handle / REMOTES_PER_CHUNK], chunk,
				      memory_order_release);
	}
	remotes->used++;
	*out = handle;
	return 0;
}

static int take_handle(struct remotes *remotes, const struct tp_options *options, uint32_t *out)
{
	if (remotes->first_free == NO_HANDLE)
		return grow(remotes, options, out);
	*out = remotes->first_free;
	remotes->first_free = entry(remotes, *out)->next_free;
	return 0;
}

int remotes_add(struct remotes *remotes, const struct tp_options *options,
		const struct remote *remote, uint32_t *out)
{
	struct remote *to;
	uint32_t handle;
	int err;

	lock_acquire(&remotes->lock);
	err = take_handle(remotes, options, &handle);
	lock_release(&remotes->lock);
	if (err)
		return err;
	to = entry(remotes, handle);
	to->key = remote->key;
	to->bytes = remote->bytes;
	to->base = remote->base;
	to->address = remote->address;
	to->rkey = remote->rkey;
	atomic_store_explicit(&to->attached, true, memory_order_release);
	*out = handle;
	return 0;
}

void remotes_remove(struct remotes *remotes, uint32_t handle)
{
	struct remote *from = entry(remotes, handle);

	if (!from)
		return;
	lock_acquire(&remotes->lock);
	if (atomic_exchange(&from->attached, false)) {
		from->next_free = remotes->first_free;
		remotes->first_free = handle;
	}
	lock_release(&remotes->lock);
}

const struct remote *remotes_find(const struct remotes *remotes, uint32_t handle)
{
	const struct remote *remote = entry(remotes, handle);

	if (!remote || !atomic_load_explicit(&remote->attached, memory_order_acquire))
		return NULL;
	return remote;
}

int remotes_check(const struct remotes *remotes, const struct tp_request *request,
		  const struct remote **out)
{
	const struct remote *remote;
	int err;

	err = tp_request_check(request);
	if (err)
		return err;
	remote = remotes_find(remotes, request->handle);
	if (!remote || !tp_range_fits(request->offset, request->bytes, remote->bytes))
		return -EACCES;
	*out = remote;
	return 0;
}
