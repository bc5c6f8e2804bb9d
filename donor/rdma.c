#include "donor/rdma.h"

#include "common/base/log.h"
#include "donor/donor.h"
#include "donor/host.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHOWN 300 /* of a cause within another line */

/* ---- locked memory ---- */

static bool may_lock_all(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[0].effective & 1u << CAP_IPC_LOCK;
}

/* A device reaches only what cannot go away: all that is lent will be locked. */
static int check_lock_limit(const struct donor_options *options, char *why)
{
	uint64_t needed = options->slabs * options->slab_bytes;
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
	char size[HOST_BYTES_TEXT];

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= needed || may_lock_all())
		return 0;
	snprintf(why, DONOR_WHY_BYTES,
		 "only %llu KiB may be locked, and RDMA needs all of the %s: raise the limit "
		 "(LimitMEMLOCK=, ulimit -l)",
		 (unsigned long long)limit.rlim_cur >> 10, host_bytes_text(needed, size));
	return -EPERM;
}

/* ---- opening ---- */

/* At one TCP address, under its number. Returns whether it works; `why` is the last that did not.
 */
static bool listen_at(struct donor *donor, const struct donor_address *address,
		      struct listener *listener, char *why)
{
	uint16_t port = peer_own_port(listener->fd);
	int err =
		tp_server_listen(donor->servers[TP_VERBS], address->host[0] ? address->host : NULL,
				 port, &listener->verbs_port);

	if (!err)
		return true;
	listener->verbs_port = 0;
	snprintf(why, DONOR_WHY_BYTES, "%s: %s", listener->text, tp_reason(err));
	log_debug("no RDMA at %s", why);
	return false;
}

/* The TCP listeners are in the order of the options. */
static int listen_all(struct donor *donor, char *why)
{
	const struct donor_options *options = donor->options;
	bool any = false;

	snprintf(why, DONOR_WHY_BYTES, "--listen names no address");
	for (unsigned i = 0; i < options->listen_count; i++)
		any = listen_at(donor, &options->listen[i], &donor->listeners.each[i], why) || any;
	return any ? 0 : -ENODEV;
}

static void close_server(struct donor *donor)
{
	tp_server_close(donor->servers[TP_VERBS]);
	donor->servers[TP_VERBS] = NULL;
}

static int open_server(struct donor *donor, char *why)
{
	int err = check_lock_limit(donor->options, why);

	if (err)
		return err;
	err = tp_server_open(TP_VERBS, donor->loop, donor_find_verbs, donor,
			     &donor->servers[TP_VERBS]);
	if (err) {
		donor->servers[TP_VERBS] = NULL;
		snprintf(why, DONOR_WHY_BYTES, "%s", tp_reason(err));
		return err;
	}
	err = listen_all(donor, why);
	if (err)
		close_server(donor);
	return err;
}

int rdma_open(struct donor *donor, char why[DONOR_WHY_BYTES])
{
	char cause[DONOR_WHY_BYTES];
	int err;

	if (donor->options->rdma == DONOR_RDMA_OFF)
		return 0;
	err = open_server(donor, cause);
	if (!err)
		return 0;
	if (donor->options->rdma == DONOR_RDMA_REQUIRED) {
		snprintf(why, DONOR_WHY_BYTES,
			 "--rdma required, and there is none: %.*s: see pagerctl doctor, or leave "
			 "--rdma out",
			 SHOWN, cause);
		return err;
	}
	log_line(err == -ENODEV ? LOG_DEBUG : LOG_INFO,
		 "clients of other hosts come in over tcp, not RDMA: %s", cause);
	return 0;
}

uint16_t rdma_port(const struct donor *donor, uint16_t tcp_port)
{
	const struct listeners *listeners = &donor->listeners;

	for (unsigned i = 0; i < listeners->count; i++) {
		const struct listener *listener = &listeners->each[i];

		if (!listener->is_local && listener->verbs_port &&
		    peer_own_port(listener->fd) == tcp_port)
			return listener->verbs_port;
	}
	return 0;
}
