/*
 * What a kind of transport implements, and what every tp, connection, server and domain begins
 * with. transport.c dispatches through these tables; a wrapper (flaky.h) is one more client table.
 * For files of this room only.
 */
#ifndef COMMON_TRANSPORT_OPS_H
#define COMMON_TRANSPORT_OPS_H

#include "common/transport/transport.h"

#include <stddef.h>

/* Each member does what tp_<member>() in transport.h promises. */
struct tp_client_ops {
	int (*open)(const struct tp_options *options, struct tp **out);
	void (*close)(struct tp *tp);
	int (*reg)(struct tp *tp, void *base, size_t bytes);
	int (*connect)(struct tp *tp, const struct tp_target *target, struct tp_conn **out);
	void (*disconnect)(struct tp_conn *conn);
	int (*attach)(struct tp_conn *conn, const struct tp_remote *remote, uint32_t *handle);
	void (*detach)(struct tp_conn *conn, uint32_t handle);
	int (*post)(struct tp_conn *conn, const struct tp_request *requests, unsigned n);
	int (*poll)(struct tp_conn *conn, struct tp_completion *out, unsigned max);
	int (*arm)(struct tp_conn *conn, int *fd, short *events);
	int (*error)(const struct tp_conn *conn);
	unsigned (*descriptors)(const struct tp_conn *conn, int out[TP_MAX_DESCRIPTORS]);
};

struct tp {
	const struct tp_client_ops *ops;
	enum tp_kind kind;
	struct tp_options options; /* depth, timeout and allocator filled in */
};

struct tp_conn {
	const struct tp_client_ops *ops;
	struct tp *tp;
};

struct tp_server_ops {
	int (*open)(struct loop *loop, tp_find_fn *find, void *arg, struct tp_server **out);
	void (*close)(struct tp_server *server);
	int (*take)(struct tp_server *server, int fd); /* NULL: takes no sockets */
	/* NULL: takes sockets. */
	int (*listen)(struct tp_server *server, const char *host, uint16_t port, uint16_t *bound);
	int (*spin)(struct tp_server *server);
	void (*stats)(const struct tp_server *server, struct tp_server_stats *out);
	int (*domain_open)(struct tp_server *server, struct tp_domain **out);
	void (*domain_cut)(struct tp_domain *domain);
	void (*domain_close)(struct tp_domain *domain);
	int (*domain_export)(struct tp_domain *domain, const struct tp_export *memory,
			     struct tp_remote *out);
	void (*domain_revoke)(struct tp_domain *domain, uint64_t key);
};

struct tp_server {
	const struct tp_server_ops *ops;
};

struct tp_domain {
	const struct tp_server_ops *ops;
};

extern const struct tp_client_ops tp_shm_client, tp_tcp_client, tp_verbs_client;
extern const struct tp_server_ops tp_shm_server, tp_tcp_server, tp_verbs_server;

/* Says what tp_why() returns on this thread. Cleared when one of the calls named there begins. */
void tp_explain(const char *fmt, ...) PRINTF_LIKE(1, 2);
void tp_explain_nothing(void);

/* Zeroed memory from the caller's allocator, or NULL. options: NULL for calloc. */
void *tp_alloc(const struct tp_options *options, size_t bytes) MUST_CHECK;
/* Same `bytes` as allocated; NULL is allowed. */
void tp_free(const struct tp_options *options, void *ptr, size_t bytes);

/* Fills in a zeroed one. options: NULL for none. */
void tp_init(struct tp *tp, const struct tp_client_ops *ops, enum tp_kind kind,
	     const struct tp_options *options);

/* open, close and reg of kinds that keep nothing per tp. */
int tp_plain_open(const struct tp_client_ops *ops, enum tp_kind kind,
		  const struct tp_options *options, struct tp **out) MUST_CHECK;
void tp_plain_close(struct tp *tp);
int tp_plain_register(struct tp *tp, void *base, size_t bytes) MUST_CHECK;

/* The least power of two that is not below the depth: free running counts wrap around at it. */
static inline uint32_t tp_ring_size(uint32_t depth)
{
	uint32_t size = 1;

	while (size < depth)
		size *= 2;
	return size;
}

/* Whether op and size of a request can be asked for at all: 0 or -EINVAL. */
int tp_request_check(const struct tp_request *request) MUST_CHECK;

/* Whether [offset, offset + bytes) lies within `total`; offset may be anything. */
static inline bool tp_range_fits(uint64_t offset, uint32_t bytes, uint64_t total)
{
	return bytes <= total && offset <= total - bytes;
}

#endif
