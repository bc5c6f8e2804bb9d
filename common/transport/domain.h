/*
 * What the servers over sockets (tcp, shm) share of a protection domain: its exported memories by
 * key, and the sessions that its token opened. On the loop's thread only.
 */
#ifndef COMMON_TRANSPORT_DOMAIN_H
#define COMMON_TRANSPORT_DOMAIN_H

#include "common/transport/ops.h"

#include <sys/queue.h>

struct session;
struct session_server;
struct shm_mapping;

/* Lanes times processes of one program tree, with room. A guess. */
#define DOMAIN_MAX_SESSIONS 64

struct export
{
	struct tp_export memory;
	LIST_ENTRY(export) bucket;
	LIST_HEAD(, shm_mapping) mappings; /* shm: sessions that were given the memfd */
};

LIST_HEAD(export_list, export);

struct domain {
	struct tp_domain base;
	struct session_server *server;
	TAILQ_HEAD(, session) sessions;
	unsigned session_count;
	struct export_list *buckets;
	unsigned bucket_bits;
	size_t export_count;
};

int domain_open(struct tp_server *server, struct tp_domain **out) MUST_CHECK;
void domain_cut(struct tp_domain *domain);
void domain_close(struct tp_domain *domain);
int domain_export(struct tp_domain *domain, const struct tp_export *memory,
		  struct tp_remote *out) MUST_CHECK;
void domain_revoke(struct tp_domain *domain, uint64_t key);

/* NULL if nothing is exported under the key. */
struct export *domain_find(const struct domain *domain, uint64_t key);

static inline struct domain *domain_of(struct tp_domain *domain)
{
	return CONTAINER_OF(domain, struct domain, base);
}

#endif
