#include "donor/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static uint16_t port_of(const struct sockaddr_storage *address)
{
	/* Both families have it in the same place. */
	if (address->ss_family == AF_INET || address->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in *)address)->sin_port);
	return 0;
}

const char *peer_address_text(const struct sockaddr_storage *address, char out[PEER_TEXT_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, host,
			  sizeof(host));
		snprintf(out, PEER_TEXT_BYTES, "[%s]:%u", host, port_of(address));
	} else {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, host,
			  sizeof(host));
		snprintf(out, PEER_TEXT_BYTES, "%s:%u", host, port_of(address));
	}
	return out;
}

static const char *local_text(int fd, char out[PEER_TEXT_BYTES])
{
	struct ucred who = {0};
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		who.pid = 0;
	snprintf(out, PEER_TEXT_BYTES, "local process %d", who.pid);
	return out;
}

const char *peer_text(int fd, char out[PEER_TEXT_BYTES])
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &len)) {
		snprintf(out, PEER_TEXT_BYTES, "somebody who has left");
		return out;
	}
	return address.ss_family == AF_UNIX ? local_text(fd, out)
					    : peer_address_text(&address, out);
}

uint16_t peer_own_port(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len))
		return 0;
	return port_of(&address);
}
