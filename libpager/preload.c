/*
 * The entry: runs before main() of a program that carries libpager.so, reads what the user asked
 * for, and starts to watch. Nothing asked for: nothing done (a program that links with us for the
 * API).
 */
#include "libpager/front.h"
#include "libpager/host.h"
#include "libpager/require.h"
#include "pager/ending.h"
#include "pager/recall.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_REFUSED 125 /* as env(1) and timeout(1) say that they failed themselves */

/* Also when something before it in the configuration is wrong. */
static bool is_required(const struct config *config)
{
	const char *text = secure_getenv("LIBPAGER_REQUIRE");

	return config->require || (text && strcmp(text, "1") == 0);
}

static bool is_asked_for(const struct config *config)
{
	return config->local || config->donor_count;
}

/* What is missing, or NULL. */
static const char *incomplete(const struct config *config)
{
	if (!config->donor_count)
		return "no donor configured: set LIBPAGER_DONORS=HOST:PORT; running without paging";
	if (!config->local)
		return "no local budget configured: set LIBPAGER_LOCAL=512M or what the program "
		       "may "
		       "keep; running without paging";
	return NULL;
}

static void NORETURN refuse(const char *line)
{
	log_error("%s", line);
	_exit(EXIT_REFUSED);
}

/* LIBPAGER_REQUIRE, or RDMA and nothing else: better no start than one without. */
static void require_donor(const struct config *config)
{
	if (require_donor_answers(config))
		return;
	if (config->require)
		refuse("no donor answers and LIBPAGER_REQUIRE is set: not starting the program");
	refuse("no donor can be used over verbs, and nothing else is wanted: not starting the "
	       "program");
}

static void begin(const struct config *config)
{
	const char *missing = incomplete(config);

	if (missing && config_insists(config))
		refuse(missing);
	if (missing) {
		log_warn("%s", missing);
		return;
	}
	if (config_insists(config))
		require_donor(config);
	if (host_start(config))
		log_warn("running without paging: no memory for the engine");
}

static void __attribute__((constructor)) start(void)
{
	struct config config;
	char why[CONFIG_WHY_BYTES];
	int saved = errno;
	int err;

	front_init();
	alone_init();
	config_init(&config);
	err = config_from_env(&config, secure_getenv, why);
	host_log_open(&config);
	if (err && is_required(&config))
		refuse(why);
	if (err)
		log_warn("%s; running without paging", why);
	else if (is_asked_for(&config))
		begin(&config);
	errno = saved;
}

static void __attribute__((destructor)) end(void)
{
	struct engine *engine = host_engine();

	if (engine)
		ending_goodbye(engine);
}

/*
 * In front of fork(3) only to be able to say no: everything else is done by the fork handlers,
 * which also see the forks that the C library makes for itself.
 */
__attribute__((visibility("default"))) pid_t fork(void)
{
	static pid_t (*next)(void);
	struct engine *engine = host_engine();
	const char *why = engine ? recall_obstacle(engine) : NULL;

	if (why) {
		log_warn("fork refused: %s to bring this program's pages home first", why);
		errno = ENOMEM;
		return -1;
	}
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "fork");
	return next();
}
