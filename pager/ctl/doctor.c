#include "pager/ctl/doctor.h"

#include "pager/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

enum { OPT_DONOR = 1, OPT_DONORS, OPT_TRANSPORT, OPT_JSON };

static const struct option options[] = {
	{"donor", required_argument, NULL, OPT_DONOR},
	{"donors", required_argument, NULL, OPT_DONORS},
	{"transport", required_argument, NULL, OPT_TRANSPORT},
	{"json", no_argument, NULL, OPT_JSON},
	{NULL, 0, NULL, 0},
};

struct request {
	struct config config;
	bool donors_given;
	bool json;
};

/* ---- command line ---- */

static int take_donor(struct request *request, int option, const char *text)
{
	/* Options replace the variable, as they do for run. */
	if (!request->donors_given)
		request->config.donor_count = 0;
	request->donors_given = true;
	if (option == OPT_DONORS)
		return ctl_add_donor_file(&request->config, "doctor", text);
	return ctl_add_donor(&request->config, "doctor", text);
}

static int take_option(struct request *request, int option)
{
	char why[CONFIG_WHY_BYTES];

	switch (option) {
	case OPT_DONOR:
	case OPT_DONORS:
		return take_donor(request, option, optarg);
	case OPT_TRANSPORT:
		if (config_set_transport(&request->config, optarg, why))
			return ctl_fail(CTL_USAGE, "doctor: --transport %s", why);
		return 0;
	case OPT_JSON:
		request->json = true;
		return 0;
	default:
		return CTL_USAGE;
	}
}

static int parse(int argc, char **argv, struct request *request)
{
	char why[CONFIG_WHY_BYTES];
	int option;
	int err;

	config_init(&request->config);
	if (config_from_env(&request->config, getenv, why))
		return ctl_fail(CTL_USAGE, "doctor: %s", why);
	ctl_options_begin();
	while ((option = ctl_option_next(argc, argv, CTL_OPTIONS_ANYWHERE, options)) != -1) {
		err = take_option(request, option);
		if (err)
			return err;
	}
	if (optind < argc)
		return ctl_fail(CTL_USAGE,
				"doctor: %s: takes options only: see pagerctl help doctor",
				argv[optind]);
	return 0;
}

/* ---- the examination ---- */

static int run(int argc, char **argv)
{
	static void (*const checks[])(struct report *) = {
		doctor_check_kernel,	   doctor_check_userfaultfd, doctor_check_library,
		doctor_check_uring,	   doctor_check_memory_lock, doctor_check_rdma,
		doctor_check_memory_group, doctor_check_huge_pages,  doctor_check_statistics,
		doctor_check_cpu_latency,
	};
	struct request request = {.json = false};
	struct report report;
	size_t i;
	int err;

	err = parse(argc, argv, &request);
	if (err)
		return err;
	err = report_open(&report, request.json);
	if (err)
		return ctl_fail(CTL_FAILED, "doctor: %s", strerror(-err));
	for (i = 0; i < ARRAY_LEN(checks); i++)
		checks[i](&report);
	doctor_check_donors(&report, &request.config);
	err = report_close(&report);
	if (err)
		return ctl_fail(CTL_FAILED, "doctor: %s", strerror(-err));
	return report.bad ? CTL_FAILED : CTL_OK;
}

const struct ctl_command ctl_doctor = {
	.name = "doctor",
	.arguments = "[--donor HOST:PORT]... [--json]",
	.summary = "say whether paging works on this host, and what to do if not",
	.options =
		"  --donor HOST:PORT  a donor to ask, or unix:/PATH; several are several options\n"
		"  --donors FILE      donors, one a line, # for comments\n"
		"  --transport WHICH  auto (the default), shm, verbs or tcp\n"
		"  --json             for programs to read; pagerctl(1) lists the keys\n"
		"\n"
		"Exits with 0 if paging would work, else with 1.\n",
	.run = run,
};
