#include "common/transport/domain.h"

#include "common/base/fault_point.h"
#include "common/transport/session.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_BUCKET_BITS 4

/* Keys may be counted up or random. 2^64 over the golden ratio: Knuth, vol. 3, 6.4. */
static struct export_list *bucket_of(const struct domain *domain, uint64_t key)
{
	return &domain->buckets[(key * 0x9e3779b97f4a7c15u) >> (64 - domain->bucket_bits)];
}

static struct export_list *buckets_new(unsigned bits)
{
	if (FAULT_POINT())
		return NULL;
	return calloc((size_t)1 << bits, sizeof(struct export_list));
}

int domain_open(struct tp_server *server, struct tp_domain **out)
{
	struct domain *domain;

	domain = FAULT_POINT() ? NULL : calloc(1, sizeof(*domain));
	if (!domain)
		return -ENOMEM;
	domain->buckets = buckets_new(FIRST_BUCKET_BITS);
	if (!domain->buckets) {
		free(domain);
		return -ENOMEM;
	}
	domain->base.ops = server->ops;
	domain->server = session_server_of(server);
	domain->bucket_bits = FIRST_BUCKET_BITS;
	TAILQ_INIT(&domain->sessions);
	*out = &domain->base;
	return 0;
}

void domain_cut(struct tp_domain *base)
{
	struct domain *domain = domain_of(base);
	struct session *session;

	while ((session = TAILQ_FIRST(&domain->sessions)))
		session_end(session);
}

void domain_close(struct tp_domain *base)
{
	struct domain *domain = domain_of(base);
	size_t i;

	domain_cut(base);
	for (i = 0; i < (size_t)1 << domain->bucket_bits; i++) {
		struct export *export;

		while ((export = LIST_FIRST(&domain->buckets[i]))) {
			LIST_REMOVE(export, bucket);
			free(export);
		}
	}
	free(domain->buckets);
	free(domain);
}

struct export *domain_find(const struct domain *domain, uint64_t key)
{
	struct export *export;

	LIST_FOREACH (export, bucket_of(domain, key), bucket) {
		if (export->memory.key == key)
			return export;
	}
	return NULL;
}

/* Twice as many buckets. Without memory for them the lists just get longer. */
static void grow(struct domain *domain)
{
	struct export_list *old = domain->buckets;
	size_t i, count = (size_t)1 << domain->bucket_bits;
	struct export_list *buckets = buckets_new(domain->bucket_bits + 1);

	if (!buckets)
		return;
	domain->buckets = buckets;
	domain->bucket_bits++;
	for (i = 0; i < count; i++) {
		struct export *export;

		while ((export = LIST_FIRST(&old[i]))) {
			LIST_REMOVE(export, bucket);
			LIST_INSERT_HEAD(bucket_of(domain, export->memory.key), export, bucket);
		}
	}
	free(old);
}

int domain_export(struct tp_domain *base, const struct tp_export *memory, struct tp_remote *out)
{
	struct domain *domain = domain_of(base);
	struct export *export;

	if (memory->bytes == 0 || (domain->server->kind->needs_memfd && memory->memfd < 0))
		return -EINVAL;
	if (domain_find(domain, memory->key))
		return -EEXIST;
	export = FAULT_POINT() ? NULL : calloc(1, sizeof(*export));
	if (!export)
		return -ENOMEM;
	export->memory = *memory;
	LIST_INIT(&export->mappings);
	if (domain->export_count >> domain->bucket_bits)
		grow(domain);
	LIST_INSERT_HEAD(bucket_of(domain, memory->key), export, bucket);
	domain->export_count++;
	*out = (struct tp_remote){.key = memory->key, .bytes = memory->bytes};
	return 0;
}

void domain_revoke(struct tp_domain *base, uint64_t key)
{
	struct domain *domain = domain_of(base);
	struct export *export = domain_find(domain, key);

	if (!export)
		return;
	domain->server->kind->revoke(domain, export);
	LIST_REMOVE(export, bucket);
	domain->export_count--;
	free(export);
}
