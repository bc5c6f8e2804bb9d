#include "libpager/pager.h"

#include "libpager/host.h"
#include "libpager/voice.h"

#include <errno.h>
#include <string.h>

static char error_line[CONFIG_WHY_BYTES];

static struct {
	void (*log)(void *arg, int level, const char *line);
	void *arg;
} user;

const char *pager_version(void)
{
	return LIBPAGER_VERSION;
}

const char *pager_error(void)
{
	return error_line;
}

static void to_user(void *arg UNUSED, enum log_level level, const char *line)
{
	user.log(user.arg, (int)level, line);
}

void pager_set_log(void (*log)(void *arg, int level, const char *line), void *arg)
{
	struct config config;

	user.log = log;
	user.arg = arg;
	config_init(&config);
	if (log)
		voice_set(to_user);
	else
		host_log_open(&config);
}

static int refuse(const char *why)
{
	strncpy(error_line, why, sizeof(error_line) - 1);
	return -EINVAL;
}

static int read_options(const struct pager_options *options, struct config *config)
{
	config_init(config);
	if (options->size < sizeof(*options))
		return refuse("pager_options.size: set it to sizeof(struct pager_options)");
	if (options->local < CONFIG_MIN_LOCAL)
		return refuse("pager_options.local: expected at least 8 MiB");
	if (!options->donors)
		return refuse("pager_options.donors: expected HOST:PORT");
	config->local = CONFIG_LOCAL_SIZE;
	config->local_bytes = options->local;
	if (config_add_donors(config, options->donors, error_line))
		return -EINVAL;
	if (options->transport && config_set_transport(config, options->transport, error_line))
		return -EINVAL;
	return config->donor_count ? 0 : refuse("pager_options.donors: expected HOST:PORT");
}

int pager_start(const struct pager_options *options)
{
	struct config config;
	int saved = errno;
	int err;

	err = read_options(options, &config);
	if (!err)
		err = host_start(&config);
	errno = saved;
	return err;
}

int pager_stat(struct pager_stat *out)
{
	struct engine *engine = host_engine();
	const struct stats_page *stats;

	if (!engine || atomic_load(&engine->phase) != ENGINE_ACTIVE)
		return -ENOENT;
	stats = engine->stats;
	*out = (struct pager_stat){
		.budget = stats->budget_bytes,
		.adopted = stats->adopted_bytes,
		.resident = stats->resident_bytes,
		.staged = stats->staged_bytes,
		.remote = stats->remote_bytes,
		.filled = stats->filled_bytes,
		.major = stats->major,
		.minor = stats->minor,
		.fresh = stats->fresh,
		.major_p50_ns = hist_percentile(&stats->major_ns, 0.5),
		.major_p99_ns = hist_percentile(&stats->major_ns, 0.99),
		.taken = stats->taken,
		.written = stats->written,
	};
	return 0;
}
