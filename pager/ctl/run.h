/* The command line of `pagerctl run`, apart from the exec that ends it, so that it can be tested.
 */
#ifndef PAGER_CTL_RUN_H
#define PAGER_CTL_RUN_H

#include "common/base/compiler.h"
#include "pager/config.h"

struct run_request {
	struct config config; /* variables that are set already, and options over them */
	/* each NULL if not given */
	const char *library;
	const char *transport;
	const char *cpu_latency;
	const char *log;
	const char *log_file;
	char **program; /* its argv: the rest of ours */
};

/* 0, or CTL_USAGE after a complaint. */
int run_parse(int argc, char **argv, struct run_request *out) MUST_CHECK;

/* Sets the variables that libpager.so reads, LD_PRELOAD too. 0 or -ENOMEM. */
int run_set_environment(const struct run_request *request, const char *library) MUST_CHECK;

#endif
