#include "common/transport/verbs_server.h"

#include "common/base/fault_point.h"
#include "common/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned bucket_of(uint64_t key)
{
	return (unsigned)((key * 0x9e3779b97f4a7c15u) >> 32) % VERBS_EXPORT_BUCKETS;
}

static struct verbs_export *find(struct verbs_domain *domain, uint64_t key)
{
	struct verbs_export *export;

	LIST_FOREACH (export, &domain->buckets[bucket_of(key)], bucket) {
		if (export->key == key)
			return export;
	}
	return NULL;
}

int verbs_domain_open(struct tp_server *base, struct tp_domain **out)
{
	struct verbs_server *server = verbs_server_of(base);
	const struct verbs_lib *lib = server->lib;
	struct verbs_domain *domain;
	int err;

	if (!server->device.context) {
		tp_explain("listens nowhere yet, and so has no device");
		return -ENODEV;
	}
	domain = FAULT_POINT() ? NULL : calloc(1, sizeof(*domain));
	if (!domain)
		return -ENOMEM;
	domain->base.ops = base->ops;
	domain->server = server;
	TAILQ_INIT(&domain->sessions);
	domain->pd = lib->alloc_pd(server->device.context);
	if (!domain->pd) {
		err = verbs_lib_error(lib);
		goto err_free;
	}
	domain->cq = lib->create_cq(server->device.context, 1, NULL, NULL, 0);
	if (!domain->cq) {
		err = verbs_lib_error(lib);
		goto err_pd;
	}
	*out = &domain->base;
	return 0;

err_pd:
	lib->dealloc_pd(domain->pd);
err_free:
	tp_explain("%s: no protection domain: %s", verbs_device_name(&server->device),
		   strerror(-err));
	free(domain);
	return err;
}

static void end_sessions(struct verbs_domain *domain)
{
	struct verbs_session *session;

	while ((session = TAILQ_FIRST(&domain->sessions)))
		verbs_session_end(session);
}

/*
 * When it returns, no request finds the memory any more, and none that has found it still goes on.
 * A device that does not let go of it is made to, by taking away who might be using it.
 */
static void export_end(struct verbs_domain *domain, struct verbs_export *export)
{
	const struct verbs_lib *lib = domain->server->lib;
	int err;

	err = lib->dereg_mr(export->mr);
	if (err) {
		end_sessions(domain);
		err = lib->dereg_mr(export->mr);
	}
	if (err)
		log_error("%s keeps memory that was lent: %s",
			  verbs_device_name(&domain->server->device), strerror(err));
	LIST_REMOVE(export, bucket);
	free(export);
}

void verbs_domain_cut(struct tp_domain *base)
{
	end_sessions(verbs_domain_of(base));
}

void verbs_domain_close(struct tp_domain *base)
{
	struct verbs_domain *domain = verbs_domain_of(base);
	const struct verbs_lib *lib = domain->server->lib;
	struct verbs_export *export;
	unsigned i;

	end_sessions(domain);
	for (i = 0; i < VERBS_EXPORT_BUCKETS; i++) {
		while ((export = LIST_FIRST(&domain->buckets[i])))
			export_end(domain, export);
	}
	lib->destroy_cq(domain->cq);
	lib->dealloc_pd(domain->pd);
	free(domain);
}

int verbs_domain_export(struct tp_domain *base, const struct tp_export *memory,
			struct tp_remote *out)
{
	struct verbs_domain *domain = verbs_domain_of(base);
	struct verbs_export *export;
	int err;

	if (memory->bytes == 0)
		return -EINVAL;
	if (find(domain, memory->key))
		return -EEXIST;
	export = FAULT_POINT() ? NULL : calloc(1, sizeof(*export));
	if (!export)
		return -ENOMEM;
	err = verbs_device_register(
		&domain->server->device, domain->pd, memory->base, memory->bytes,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE,
		&export->mr);
	if (err) {
		free(export);
		return err;
	}
	export->key = memory->key;
	LIST_INSERT_HEAD(&domain->buckets[bucket_of(memory->key)], export, bucket);
	*out = (struct tp_remote){
		.key = memory->key,
		.bytes = memory->bytes,
		.address = (uintptr_t)memory->base,
		.rkey = export->mr->rkey,
	};
	return 0;
}

void verbs_domain_revoke(struct tp_domain *base, uint64_t key)
{
	struct verbs_domain *domain = verbs_domain_of(base);
	struct verbs_export *export = find(domain, key);

	if (export)
		export_end(domain, export);
}
