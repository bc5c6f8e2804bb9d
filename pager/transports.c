#include "pager/transports.h"

#include "pager/pins.h"

#include <errno.h>
#include <string.h>

/* Opens one and tells it of all buffers. Under the lock. */
static int open_one(struct transports *transports, enum tp_kind kind)
{
	struct tp *tp;
	int err;

	pins_begin();
	err = tp_open(kind, &transports->options, &tp);
	for (unsigned i = 0; i < transports->region_count && !err; i++) {
		err = tp_register(tp, transports->regions[i].base, transports->regions[i].bytes);
		if (err)
			tp_close(tp);
	}
	pins_end();
	if (!err)
		transports->tps[kind] = tp;
	return err;
}

int transports_open(struct transports *transports, const struct tp_options *options)
{
	int err;

	memset(transports, 0, sizeof(*transports));
	if (options)
		transports->options = *options;
	err = open_one(transports, TP_SHM);
	if (!err)
		err = open_one(transports, TP_TCP);
	if (err)
		transports_close(transports);
	return err;
}

void transports_close(struct transports *transports)
{
	pins_begin();
	for (unsigned kind = 0; kind < TP_KINDS; kind++) {
		tp_close(transports->tps[kind]);
		transports->tps[kind] = NULL;
	}
	pins_end();
}

int transports_get(struct transports *transports, enum tp_kind kind, struct tp **out)
{
	int err = 0;

	lock_acquire(&transports->lock);
	if (!transports->tps[kind])
		err = open_one(transports, kind);
	if (!err)
		*out = transports->tps[kind];
	lock_release(&transports->lock);
	return err;
}

static int register_all(struct transports *transports, void *base, size_t bytes)
{
	int err = 0;

	if (transports->region_count == TRANSPORTS_REGIONS)
		return -ENOSPC;
	pins_begin();
	for (unsigned kind = 0; kind < TP_KINDS && !err; kind++)
		if (transports->tps[kind])
			err = tp_register(transports->tps[kind], base, bytes);
	pins_end();
	if (err)
		return err;
	transports->regions[transports->region_count].base = base;
	transports->regions[transports->region_count].bytes = bytes;
	transports->region_count++;
	return 0;
}

int transports_register(struct transports *transports, void *base, size_t bytes)
{
	int err;

	lock_acquire(&transports->lock);
	err = register_all(transports, base, bytes);
	lock_release(&transports->lock);
	return err;
}
