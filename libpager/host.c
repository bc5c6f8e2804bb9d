#include "libpager/host.h"

#include "libpager/voice.h"
#include "pager/own.h"
#include "pager/recall.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/*
 * In the library's own data, which is never adopted; a forked child inherits it, but not the
 * engine's memory, so everything a child needs to begin anew is here.
 */
static struct {
	struct engine *engine;
	struct config config;
	_Atomic int started;
	bool handlers;
} host;

struct engine *host_engine(void)
{
	return host.engine;
}

static int start_threads(void)
{
	int err = voice_start();

	return err ? err : engine_start(&host.config, &host.engine);
}

static void before_fork(void)
{
	int saved = errno;

	if (!host.engine)
		return;
	/* daemon(3) and others inside the C library cannot be told no: see fork() in preload.c. */
	recall_begin(host.engine);
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
	voice_forget();
	engine_forget(host.engine);
	host.engine = NULL;
	if (start_threads())
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
	err = start_threads();
	if (err) {
		atomic_store(&host.started, 0);
		return err;
	}
	if (!host.handlers)
		pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
	host.handlers = true;
	return 0;
}
