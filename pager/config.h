/*
 * What the user asked for, from LIBPAGER_ variables (libpager) or options (pagerctl), checked and
 * explained: whatever is wrong comes back as one line a user can act on.
 *
 *   LIBPAGER_LOCAL      how much stays resident: "512M"
 *   LIBPAGER_DONORS     "host:port,host2" or "unix:/run/donord.sock", several separated by commas
 *                       or blanks; or "/path/to/file" (or "./file") with one donor a line, # for
 *                       comments. A donor named twice counts once
 *   LIBPAGER_TRANSPORT  auto (default), shm, tcp, verbs; verbs implies LIBPAGER_REQUIRE
 *   LIBPAGER_TREE       set by pagerctl run: where those that share LIBPAGER_LOCAL meet (tree.h)
 *   LIBPAGER_CPU_LATENCY auto (default): idle CPUs are kept awake while the program pages, where
 *                       that is permitted and pays (awake.h); off
 *   LIBPAGER_MOVE       auto (default), off: does without UFFDIO_MOVE, as before Linux 6.8
 *   LIBPAGER_REQUIRE    1: end the program at start if no donor answers
 *   LIBPAGER_LOG        debug, info, warn (default), error, off
 *   LIBPAGER_LOG_FILE   lines go there (appended) instead of descriptor 2
 *
 * A variable that is set to nothing counts as not set. Nothing here allocates.
 */
#ifndef PAGER_CONFIG_H
#define PAGER_CONFIG_H

#include "common/base/compiler.h"
#include "common/base/log.h"
#include "common/base/parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_DONORS 64
#define CONFIG_WHY_BYTES 400
#define CONFIG_PATH_BYTES 108
/* Under this a budget is refused: the engine needs room to move. A guess. */
#define CONFIG_MIN_LOCAL (8u << 20)

enum config_transport { CONFIG_AUTO, CONFIG_SHM, CONFIG_TCP, CONFIG_VERBS };

struct config_donor {
	char text[PARSE_HOST_BYTES + 8]; /* as the user wrote it, for messages */
	char host[PARSE_HOST_BYTES];	 /* "" for a Unix socket */
	uint16_t port;
	char path[CONFIG_PATH_BYTES]; /* Unix socket, else "" */
};

enum config_local {
	CONFIG_LOCAL_UNSET,
	CONFIG_LOCAL_SIZE,
	CONFIG_LOCAL_PERCENT,
	CONFIG_LOCAL_AUTO
};

struct config {
	enum config_local local;
	uint64_t local_bytes;	/* SIZE */
	unsigned local_percent; /* PERCENT: of what the control group may use */
	enum config_transport transport;
	bool keep_awake;
	bool move; /* UFFDIO_MOVE, where there is one */
	bool require;
	bool quiet; /* LIBPAGER_LOG=off */
	enum log_level log_level;
	char log_file[256];	      /* "" for descriptor 2 */
	char tree[CONFIG_PATH_BYTES]; /* "": the budget is this process's own */
	unsigned donor_count;
	struct config_donor donors[CONFIG_MAX_DONORS];
};

/* Whether the program is not to run without a donor: who insists on RDMA does not want less. */
static inline bool config_insists(const struct config *config)
{
	return config->require || config->transport == CONFIG_VERBS;
}

/* Defaults; nothing asked for. */
void config_init(struct config *config);

/*
 * These set what one text says, or fill `why` with one line that begins with the text (the caller
 * puts the option's name before it) and return -EINVAL, or for a file what open and read say.
 */
/* Adds the donors of a list or of a file; those before a wrong one stay added. */
int config_add_donors(struct config *config, const char *text,
		      char why[CONFIG_WHY_BYTES]) MUST_CHECK;

int config_set_transport(struct config *config, const char *text,
			 char why[CONFIG_WHY_BYTES]) MUST_CHECK;
int config_set_cpu_latency(struct config *config, const char *text,
			   char why[CONFIG_WHY_BYTES]) MUST_CHECK;
int config_set_local(struct config *config, const char *text,
		     char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/*
 * Reads the variables through `get` (getenv, or secure_getenv in libpager). 0, or -EINVAL with
 * `why` as one line that names variable, text, what was expected. Nothing set at all is no error:
 * donor_count and local_bytes are 0 then.
 */
int config_from_env(struct config *config, char *(*get)(const char *name),
		    char why[CONFIG_WHY_BYTES]) MUST_CHECK;

#endif
