#include "pager/attempt_data.h"

#include "common/base/log.h"
#include "pager/pins.h"
#include "pager/reason.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- connecting ---- */

static int connect_lanes(struct attempt *attempt, enum tp_kind kind, struct tp_target *target)
{
	unsigned lane = 0;
	struct tp *tp;
	int err;

	err = transports_get(attempt->transports, kind, &tp);
	if (err)
		return err;
	pins_begin();
	for (; lane < STORE_LANES; lane++) {
		err = tp_connect(tp, target, &attempt->conns[lane]);
		if (err)
			goto err_disconnect;
	}
	pins_end();
	attempt->kind = kind;
	return 0;

err_disconnect:
	while (lane-- > 0) {
		tp_disconnect(attempt->conns[lane]);
		attempt->conns[lane] = NULL;
	}
	pins_end();
	return err;
}

static int connect_shm(struct attempt *attempt)
{
	struct tp_target target = {.path = attempt->welcome.local_path};

	memcpy(target.token, attempt->welcome.token, sizeof(target.token));
	/* we have just been there; what the donor calls it may be another root's path */
	if (attempt->donor->path[0])
		target.path = attempt->donor->path;
	return connect_lanes(attempt, TP_SHM, &target);
}

static int connect_address(struct attempt *attempt, enum tp_kind kind, uint16_t port)
{
	struct sockaddr_storage address = attempt->address;
	struct tp_target target = {.address = (const struct sockaddr *)&address};

	/* both families have it in the same place */
	if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
		return -EAFNOSUPPORT;
	((struct sockaddr_in *)&address)->sin_port = htons(port);
	memcpy(target.token, attempt->welcome.token, sizeof(target.token));
	return connect_lanes(attempt, kind, &target);
}

/* What the transport itself says, if it says anything. */
static const char *transport_reason(int err, char out[REASON_BYTES])
{
	return *tp_why() ? tp_why() : reason_text(err, out);
}

/* ---- what stands against each ---- */

static bool is_this_host(const struct attempt *attempt)
{
	static const uint8_t none[WIRE_HOST_ID_BYTES];

	return memcmp(attempt->host_id, none, sizeof(none)) != 0 &&
	       memcmp(attempt->host_id, attempt->welcome.host_id, sizeof(none)) == 0;
}

/* Why shm is out of the question, or NULL if it can be tried. */
static const char *shm_obstacle(const struct attempt *attempt)
{
	if (attempt->donor->path[0])
		return NULL;
	if (!is_this_host(attempt))
		return "it is on another host, and the transport is shm";
	if (!attempt->welcome.local_path[0])
		return "it has no local socket (donord --local-socket), and the transport is shm";
	return NULL;
}

/* ---- one after the other ---- */

static int try_tcp(struct attempt *attempt)
{
	char reason[REASON_BYTES];
	uint16_t port = attempt->welcome.data_port;
	int err = connect_address(attempt, TP_TCP, port);

	if (!err)
		return 0;
	return attempt_fail(attempt, err, "data connection over tcp to port %u: %s", port,
			    reason_text(err, reason));
}

static int want_verbs(struct attempt *attempt)
{
	char reason[REASON_BYTES];
	int err;

	if (!attempt->welcome.verbs_port)
		return attempt_fail(
			attempt, -EOPNOTSUPP,
			"it offers no RDMA at this address, and the transport is verbs");
	err = connect_address(attempt, TP_VERBS, attempt->welcome.verbs_port);
	if (!err)
		return 0;
	return attempt_fail(attempt, err, "data connection over verbs to port %u: %s",
			    attempt->welcome.verbs_port, transport_reason(err, reason));
}

/* Whoever offers RDMA is used over it, unless this host has none, or the way there. */
static int try_remote(struct attempt *attempt)
{
	char reason[REASON_BYTES];
	int err;

	if (!attempt->welcome.verbs_port || attempt->transport != CONFIG_AUTO)
		return try_tcp(attempt);
	err = connect_address(attempt, TP_VERBS, attempt->welcome.verbs_port);
	if (!err)
		return 0;
	log_info("donor %s offers RDMA, but cannot be used over it: %s", attempt->donor->text,
		 transport_reason(err, reason));
	return try_tcp(attempt);
}

int attempt_connect_data(struct attempt *attempt)
{
	char reason[REASON_BYTES];
	const char *obstacle;
	int err;

	if (attempt->transport == CONFIG_VERBS)
		return want_verbs(attempt);
	obstacle = shm_obstacle(attempt);
	if (attempt->transport == CONFIG_SHM && obstacle)
		return attempt_fail(attempt, -EHOSTUNREACH, "%s", obstacle);
	if (attempt->transport == CONFIG_TCP || obstacle)
		return try_remote(attempt);
	err = connect_shm(attempt);
	if (!err)
		return 0;
	if (attempt->transport == CONFIG_SHM || attempt->donor->path[0])
		return attempt_fail(attempt, err, "data connection over shm: %s",
				    reason_text(err, reason));
	log_info("donor %s is on this host, but cannot be used over shm: %s", attempt->donor->text,
		 reason_text(err, reason));
	return try_remote(attempt);
}

int attempt_connect_again(struct attempt *attempt)
{
	const struct wire_welcome *welcome = &attempt->welcome;
	bool is_verbs = attempt->again == TP_VERBS;

	return connect_address(attempt, attempt->again,
			       is_verbs ? welcome->verbs_port : welcome->data_port);
}
