/*
 * What the command line asks for, checked as far as it can be without asking the host: every number
 * in its range, every pair of options in agreement.
 */
#ifndef DONOR_OPTIONS_H
#define DONOR_OPTIONS_H

#include "common/base/compiler.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "common/wire/wire.h"

#include <stdbool.h>
#include <stdint.h>

#define DONOR_MAX_LISTEN 16
#define DONOR_WHY_BYTES 512

struct donor_address {
	char host[PARSE_HOST_BYTES]; /* "" for every address of the host */
	uint16_t port;		     /* 0: the kernel chooses */
};

enum donor_local {
	DONOR_LOCAL_AUTO, /* where donor_local_path_default() says */
	DONOR_LOCAL_PATH,
	DONOR_LOCAL_NONE,
};

enum donor_rdma {
	DONOR_RDMA_AUTO, /* where there is a device */
	DONOR_RDMA_OFF,
	DONOR_RDMA_REQUIRED,
};

struct donor_options {
	uint64_t size;
	uint64_t slab_bytes; /* power of two */
	unsigned slabs;	     /* size in slabs, rounded down */
	unsigned listen_count;
	bool listen_none;
	struct donor_address listen[DONOR_MAX_LISTEN];
	enum donor_local local;
	char local_path[WIRE_PATH_BYTES]; /* as given */
	enum donor_rdma rdma;
	bool huge_pages;
	int numa_node; /* or HOST_NO_NODE */
	uint32_t lease_ms, renew_ms;
	unsigned max_sessions;
	enum log_level log_level;
};

/*
 * Reads the arguments; --help and --version print and exit here. 0, or -EINVAL with `why` as one
 * line: what was wrong, what was expected.
 */
int donor_options_parse(int argc, char **argv, struct donor_options *out,
			char why[DONOR_WHY_BYTES]) MUST_CHECK;

/* Asks the host: 0, or -EINVAL with `why` for what it does not have. Logs what is merely risky. */
int donor_options_check_host(const struct donor_options *options,
			     char why[DONOR_WHY_BYTES]) MUST_CHECK;

#endif
