#include "pager/ctl/run.h"

#include "pager/ctl/ctl.h"
#include "pager/ctl/program.h"
#include "pager/rundir.h"
#include "pager/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_LOCAL = 1,
	OPT_DONOR,
	OPT_DONORS,
	OPT_TRANSPORT,
	OPT_CPU_LATENCY,
	OPT_REQUIRE,
	OPT_LOG,
	OPT_LOG_FILE,
	OPT_LIB
};

static const struct option options[] = {
	{"local", required_argument, NULL, OPT_LOCAL},
	{"donor", required_argument, NULL, OPT_DONOR},
	{"donors", required_argument, NULL, OPT_DONORS},
	{"transport", required_argument, NULL, OPT_TRANSPORT},
	{"cpu-latency", required_argument, NULL, OPT_CPU_LATENCY},
	{"require", no_argument, NULL, OPT_REQUIRE},
	{"log", required_argument, NULL, OPT_LOG},
	{"log-file", required_argument, NULL, OPT_LOG_FILE},
	{"lib", required_argument, NULL, OPT_LIB},
	{NULL, 0, NULL, 0},
};

/* ---- command line ---- */

/* Options replace the variable: donors given here are not added to those. */
static int take_donor(struct run_request *request, bool *first, int option, const char *text)
{
	if (*first)
		request->config.donor_count = 0;
	*first = false;
	if (option == OPT_DONORS)
		return ctl_add_donor_file(&request->config, "run", text);
	return ctl_add_donor(&request->config, "run", text);
}

/* What config.h checks. */
typedef int setter_fn(struct config *config, const char *text, char why[CONFIG_WHY_BYTES]);

static int take_setting(struct run_request *request, setter_fn *set, const char *option,
			const char *text)
{
	char why[CONFIG_WHY_BYTES];

	if (set(&request->config, text, why))
		return ctl_fail(CTL_USAGE, "run: --%s %s", option, why);
	return 0;
}

static int take_log(struct run_request *request, const char *text)
{
	enum log_level level;

	if (strcmp(text, "off") && log_level_parse(text, &level))
		return ctl_fail(CTL_USAGE,
				"run: --log %s: not a log level: "
				"write debug, info, warn, error or off",
				text);
	request->log = text;
	return 0;
}

static int take_log_file(struct run_request *request, const char *text)
{
	if (!text[0] || strlen(text) >= sizeof(request->config.log_file))
		return ctl_fail(CTL_USAGE,
				"run: --log-file %.40s: write a path of at most %zu characters",
				text, sizeof(request->config.log_file) - 1);
	request->log_file = text;
	return 0;
}

static int take_option(struct run_request *request, bool *first_donor, int option)
{
	switch (option) {
	case OPT_LOCAL:
		return take_setting(request, config_set_local, "local", optarg);
	case OPT_DONOR:
	case OPT_DONORS:
		return take_donor(request, first_donor, option, optarg);
	case OPT_TRANSPORT:
		request->transport = optarg;
		return take_setting(request, config_set_transport, "transport", optarg);
	case OPT_CPU_LATENCY:
		request->cpu_latency = optarg;
		return take_setting(request, config_set_cpu_latency, "cpu-latency", optarg);
	case OPT_LOG:
		return take_log(request, optarg);
	case OPT_LOG_FILE:
		return take_log_file(request, optarg);
	case OPT_REQUIRE:
		request->config.require = true;
		return 0;
	case OPT_LIB:
		request->library = optarg;
		return 0;
	default:
		return CTL_USAGE;
	}
}

static int check_complete(const struct run_request *request)
{
	if (!request->config.local)
		return ctl_fail(CTL_USAGE, "run: how much memory may stay here is not given: "
					   "write for example --local 512M");
	if (!request->config.donor_count)
		return ctl_fail(CTL_USAGE, "run: no donor given: "
					   "write for example --donor 10.0.0.7:7471");
	if (!request->program[0])
		return ctl_fail(CTL_USAGE, "run: no program given: "
					   "write it after the options, with its arguments");
	return 0;
}

int run_parse(int argc, char **argv, struct run_request *out)
{
	struct run_request request = {.library = NULL};
	char why[CONFIG_WHY_BYTES];
	bool first_donor = true;
	int option;
	int err;

	config_init(&request.config);
	if (config_from_env(&request.config, getenv, why))
		return ctl_fail(CTL_USAGE, "run: %s", why);
	ctl_options_begin();
	while ((option = ctl_option_next(argc, argv, CTL_OPTIONS_FIRST, options)) != -1) {
		err = take_option(&request, &first_donor, option);
		if (err)
			return err;
	}
	request.program = argv + optind;
	err = check_complete(&request);
	if (err)
		return err;
	*out = request;
	return 0;
}

/* ---- environment ---- */

static int set(const char *name, const char *value)
{
	return setenv(name, value, 1) ? -errno : 0;
}

/* One list, whatever the donors came from: the program may run elsewhere than the file is seen. */
static int set_donors(const struct config *config)
{
	size_t room = config->donor_count * sizeof(config->donors[0].text) + 1;
	char *list = malloc(room);
	size_t len = 0;
	unsigned i;
	int err;

	if (!list)
		return -ENOMEM;
	for (i = 0; i < config->donor_count; i++)
		len += (size_t)snprintf(list + len, room - len, "%s%s", i ? "," : "",
					config->donors[i].text);
	err = set("LIBPAGER_DONORS", list);
	free(list);
	return err;
}

static int set_local(const struct config *config)
{
	char text[24];

	if (config->local == CONFIG_LOCAL_AUTO)
		return set("LIBPAGER_LOCAL", "auto");
	if (config->local == CONFIG_LOCAL_PERCENT)
		snprintf(text, sizeof(text), "%u%%", config->local_percent);
	else
		snprintf(text, sizeof(text), "%" PRIu64, config->local_bytes);
	return set("LIBPAGER_LOCAL", text);
}

/* In front: what others preload must find our interposed functions, not we theirs. */
static int set_preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char *list;
	int err;

	if (!others || !others[0])
		return set("LD_PRELOAD", library);
	if (asprintf(&list, "%s:%s", library, others) < 0)
		return -ENOMEM;
	err = set("LD_PRELOAD", list);
	free(list);
	return err;
}

/* What is not given stays as it was: the program reads the variable itself. */
static int set_given(const char *name, const char *value)
{
	return value ? set(name, value) : 0;
}

int run_set_environment(const struct run_request *request, const char *library)
{
	const struct {
		const char *name, *value;
	} given[] = {
		{"LIBPAGER_TRANSPORT", request->transport},
		{"LIBPAGER_CPU_LATENCY", request->cpu_latency},
		{"LIBPAGER_LOG", request->log},
		{"LIBPAGER_LOG_FILE", request->log_file},
		{"LIBPAGER_REQUIRE", request->config.require ? "1" : NULL},
	};
	unsigned i;
	int err;

	err = set_local(&request->config);
	if (err)
		return err;
	err = set_donors(&request->config);
	if (err)
		return err;
	for (i = 0; i < ARRAY_LEN(given); i++) {
		err = set_given(given[i].name, given[i].value);
		if (err)
			return err;
	}
	return set_preload(library);
}

/*
 * Whatever the program starts shares the budget with it; with `auto` they do so anyhow. Where they
 * cannot meet each has it for itself.
 */
static int set_tree(const struct run_request *request)
{
	char path[TREE_PATH_BYTES];
	int err;

	if (request->config.local == CONFIG_LOCAL_AUTO)
		return unsetenv("LIBPAGER_TREE") ? -errno : 0;
	err = tree_create(path);
	if (!err)
		return set("LIBPAGER_TREE", path);
	fprintf(stderr,
		"pagerctl: run: each process will have the budget for itself: " RUNDIR "%u: %s\n",
		geteuid(), strerror(-err));
	return unsetenv("LIBPAGER_TREE") ? -errno : 0;
}

/* ---- becoming the program ---- */

static int find_program(const char *name, char path[PATH_MAX])
{
	char why[PROGRAM_WHY_BYTES];
	int err;

	err = program_find(name, path);
	if (err == -ENOENT)
		return ctl_fail(CTL_NOT_FOUND, "run: %s: no such program", name);
	if (err)
		return ctl_fail(CTL_NOT_RUN, "run: %s: cannot be run: %s", name, strerror(-err));
	if (program_check(path, why))
		return ctl_fail(CTL_NOT_RUN, "run: %s", why);
	return 0;
}

static int run(int argc, char **argv)
{
	char why[PROGRAM_WHY_BYTES];
	struct run_request request;
	char library[PATH_MAX];
	char path[PATH_MAX];
	int err;

	err = run_parse(argc, argv, &request);
	if (err)
		return err;
	if (program_find_library(request.library, library, why))
		return ctl_fail(CTL_USAGE, "run: %s: say where it is with --lib PATH", why);
	err = find_program(request.program[0], path);
	if (err)
		return err;
	err = run_set_environment(&request, library);
	if (!err)
		err = set_tree(&request);
	if (err)
		return ctl_fail(CTL_NOT_RUN, "run: cannot set the environment: %s", strerror(-err));
	/* With a slash in it execvp() searches no more, but still gives plain text to the shell. */
	execvp(path, request.program);
	err = errno;
	return ctl_fail(err == ENOENT ? CTL_NOT_FOUND : CTL_NOT_RUN, "run: %s: %s", path,
			strerror(err));
}

const struct ctl_command ctl_run = {
	.name = "run",
	.arguments = "--local SIZE --donor HOST:PORT [OPTIONS] [--] PROGRAM [ARGUMENT]...",
	.summary = "run a program that keeps only so much of its memory here",
	.options = "  --local SIZE       how much of its memory stays here, for example 512M, all "
		   "that\n"
		   "                     it starts included, which share it by need; 50% of\n"
		   "                     the control group's limit; auto: as much as that leaves\n"
		   "  --donor HOST:PORT  a donor, or unix:/PATH; several are several options\n"
		   "  --donors FILE      donors, one a line, # for comments\n"
		   "  --transport WHICH  auto (the default), shm, verbs or tcp\n"
		   "  --cpu-latency HOW  auto (the default) keeps idle CPUs awake while it pages,\n"
		   "                     where that pays and is permitted; or off\n"
		   "  --require          do not run it if no donor answers\n"
		   "  --log LEVEL        debug, info, warn (the default), error or off\n"
		   "  --log-file FILE    where its lines go, instead of standard error\n"
		   "  --lib PATH         libpager.so, if it is not where pagerctl looks\n"
		   "\n"
		   "Variables that are set already (see libpager(7)) count as given.\n",
	.run = run,
};
