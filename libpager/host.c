#include "libpager/host.h"

#include "libpager/voice.h"
#include "pager/ending.h"
#include "pager/own.h"
#include "pager/recall.h"
#include "pager/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * In the library's own data, which is never adopted; a forked child inherits it, but not the
 * engine's memory, so everything a child needs to begin anew is here.
 */
static struct {
	struct engine *engine;
	struct config config;
	_Atomic int started;
	bool handlers;
	pid_t pid; /* in which the threads are; a child of vfork(2) sees them, and has none */
} host;

/*
 * A child of clone(2) by hand or of _Fork(3) has this library's data, but neither the engine's
 * memory nor its threads, and nobody has told us; it is not paged. Nothing is changed: a child of
 * vfork(2) has its parent's memory.
 */
struct engine *host_engine(void)
{
	return host.engine && own_is_here() ? host.engine : NULL;
}

static int start_threads(void)
{
	int err = voice_start();

	host.pid = getpid();
	if (!err)
		err = own_mark();
	return err ? err : engine_start(&host.config, &host.engine);
}

static void before_fork(void)
{
	struct engine *engine = host_engine();
	int saved = errno;

	if (!engine)
		return;
	/* daemon(3) and others inside the C library cannot be told no: see fork() in preload.c. */
	recall_begin(engine);
	errno = saved;
}

static void after_fork_in_parent(void)
{
	struct engine *engine = host_engine();
	int saved = errno;

	if (engine)
		recall_end(engine);
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

/* ---- alone for a moment ---- */

/* Whether the kernel counts no threads but the caller and ours. Each is a directory, and a link. */
static bool is_alone(void)
{
	struct stat tasks;

	return getpid() == host.pid && stat("/proc/self/task", &tasks) == 0 &&
	       tasks.st_nlink == 2 + 1 + thread_count();
}

bool host_withdraw(void)
{
	enum ending ending;

	if (!host_engine() || !is_alone())
		return false;
	ending = ending_withdraw(host.engine);
	if (ending == ENDING_NOT)
		log_warn(
			"this program is paged, by threads of libpager's: so the kernel refuses it "
			"what is for programs of one thread (a user namespace, the time)");
	if (ending == ENDING_NOT || !thread_await_end(1)) /* the voice */
		return false;
	if (ending == ENDING_SOON) {
		engine_free(host.engine);
		host.engine = NULL;
	}
	if (!voice_end() || !thread_await_end(0)) {
		host_return();
		return false;
	}
	thread_forget();
	voice_forget();
	return true;
}

/* What is not paged stays so. */
void host_return(void)
{
	int err = host.engine ? voice_start() : start_threads();

	if (err)
		log_warn("running without paging from now on: cannot start the engine's threads "
			 "again: %s",
			 strerror(-err));
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
