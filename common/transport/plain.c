#include "common/transport/ops.h"

#include <errno.h>
#include <stdlib.h>

#define DEFAULT_DEPTH 256
#define DEFAULT_CONNECT_MS 2000

void *tp_alloc(const struct tp_options *options, size_t bytes)
{
	if (options && options->alloc)
		return options->alloc(options->arg, bytes);
	return calloc(1, bytes);
}

void tp_free(const struct tp_options *options, void *ptr, size_t bytes)
{
	if (!ptr)
		return;
	if (options->free)
		options->free(options->arg, ptr, bytes);
	else
		free(ptr);
}

void tp_init(struct tp *tp, const struct tp_client_ops *ops, enum tp_kind kind,
	     const struct tp_options *options)
{
	tp->ops = ops;
	tp->kind = kind;
	if (options)
		tp->options = *options;
	if (!tp->options.depth)
		tp->options.depth = DEFAULT_DEPTH;
	if (!tp->options.connect_timeout_ms)
		tp->options.connect_timeout_ms = DEFAULT_CONNECT_MS;
}

int tp_plain_open(const struct tp_client_ops *ops, enum tp_kind kind,
		  const struct tp_options *options, struct tp **out)
{
	struct tp *tp;

	tp = tp_alloc(options, sizeof(*tp));
	if (!tp)
		return -ENOMEM;
	tp_init(tp, ops, kind, options);
	*out = tp;
	return 0;
}

void tp_plain_close(struct tp *tp)
{
	struct tp_options options = tp->options;

	tp_free(&options, tp, sizeof(*tp));
}

int tp_plain_register(struct tp *tp UNUSED, void *base UNUSED, size_t bytes UNUSED)
{
	return 0;
}

int tp_request_check(const struct tp_request *request)
{
	if (request->op != TP_READ && request->op != TP_WRITE)
		return -EINVAL;
	if (request->bytes < 1 || request->bytes > TP_MAX_BYTES)
		return -EINVAL;
	return 0;
}
