#include "libpager/host.h"

#include "pager/own.h"
#include "pager/recall.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/*
 * In the library's own data, which is never adopted; a forked child inherits it, but not the
 * engine's memory, so everything a child needs to begin anew is here.
 */
static struct {
	struct engine *engine;
	struct config config;
	int fds[STORE_MAX_FDS + 3]; /* of the parent's engine, to be closed in a child */
	unsigned fd_count;
	_Atomic int started;
	bool handlers;
} host;

struct engine *host_engine(void)
{
	return host.engine;
}

/* Several threads may fork at once; then they note the same descriptors. */
static void note_descriptors(struct engine *engine)
{
	if (atomic_load(&engine->phase) != ENGINE_ACTIVE) {
		host.fd_count = 0;
		return;
	}
	host.fds[0] = engine->uffd;
	host.fds[1] = engine->trash_uffd;
	host.fds[2] = engine->wake_fd;
	host.fd_count = 3 + store_fds(engine->store, host.fds + 3, STORE_MAX_FDS);
}

static void before_fork(void)
{
	int saved = errno;

	if (!host.engine)
		return;
	/* daemon(3) and others inside the C library cannot be told no: see fork() in preload.c. */
	recall_begin(host.engine);
	note_descriptors(host.engine);
	errno = saved;
}

static void after_fork_in_parent(void)
{
	int saved = errno;

	if (host.engine)
		recall_end(host.engine);
	errno = saved;
}

static void after_fork_in_child(void)
{
	int saved = errno;

	if (!host.engine)
		return;
	for (unsigned i = 0; i < host.fd_count; i++)
		close(host.fds[i]);
	host.fd_count = 0;
	engine_forget(host.engine);
	host.engine = NULL;
	if (engine_start(&host.config, &host.engine))
		log_warn("running without paging in a forked child: no memory");
	errno = saved;
}

int host_start(const struct config *config)
{
	int started = 0;
	int err;

	if (!atomic_compare_exchange_strong(&host.started, &started, 1))
		return -EALREADY;
	host.config = *config;
	err = engine_start(config, &host.engine);
	if (err) {
		atomic_store(&host.started, 0);
		return err;
	}
	if (!host.handlers)
		pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
	host.handlers = true;
	return 0;
}
