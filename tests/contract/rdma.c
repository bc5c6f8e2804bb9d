/* Which address of this host a donor can listen on over verbs: every one is tried. */
#include "common/base/loop.h"
#include "tests/contract/donor.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

static struct tp_domain *find_none(void *arg UNUSED, const uint8_t token[TP_TOKEN_BYTES] UNUSED)
{
	return NULL;
}

/* Link-local addresses need a scope to be connected to, and are nobody's choice. */
static bool is_candidate(const struct ifaddrs *at, int family)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at->ifa_addr;

	if (!at->ifa_addr || !(at->ifa_flags & IFF_UP) || (at->ifa_flags & IFF_LOOPBACK))
		return false;
	if (family != AF_UNSPEC && family != at->ifa_addr->sa_family)
		return false;
	if (at->ifa_addr->sa_family == AF_INET)
		return true;
	return at->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

static bool can_listen(struct loop *loop, const char *host)
{
	struct tp_server *server;
	uint16_t port;
	bool can;

	if (tp_server_open(TP_VERBS, loop, find_none, NULL, &server))
		return false;
	can = tp_server_listen(server, host, 0, &port) == 0;
	tp_server_close(server);
	return can;
}

static bool try_all(struct loop *loop, int family, char host[NI_MAXHOST])
{
	struct ifaddrs *all, *at;
	bool found = false;

	if (getifaddrs(&all))
		return false;
	for (at = all; at && !found; at = at->ifa_next) {
		socklen_t len;

		if (!is_candidate(at, family))
			continue;
		len = at->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							 : sizeof(struct sockaddr_in6);
		found = getnameinfo(at->ifa_addr, len, host, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) ==
				0 &&
			can_listen(loop, host);
	}
	freeifaddrs(all);
	return found;
}

const char *donor_rdma_address(int family)
{
	static char host[NI_MAXHOST];
	struct loop *loop;
	bool found;

	if (loop_open(&loop))
		return NULL;
	found = try_all(loop, family, host);
	loop_close(loop);
	return found ? host : NULL;
}

const char *donor_rdma_host(void)
{
	static char host[NI_MAXHOST];
	const char *found;

	if (getenv("RDMA_HOST"))
		return getenv("RDMA_HOST");
	if (!host[0]) {
		found = donor_rdma_address(AF_UNSPEC);
		if (!found)
			return NULL;
		strcpy(host, found);
	}
	return host;
}
