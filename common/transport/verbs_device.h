/*
 * A device opened by this process. librdmacm opens devices, too, but keeps them for itself: what
 * belongs to our connections belongs to a context of our own, which ends with its owner.
 */
#ifndef COMMON_TRANSPORT_VERBS_DEVICE_H
#define COMMON_TRANSPORT_VERBS_DEVICE_H

#include "common/transport/verbs_lib.h"

struct verbs_device {
	const struct verbs_lib *lib;
	struct ibv_context *context;
	struct ibv_device_attr limits;
};

/* The device of this name; NULL: the first one that has a port that is up. Explained. */
int verbs_device_open(const struct verbs_lib *lib, const char *name,
		      struct verbs_device *out) MUST_CHECK;
void verbs_device_close(struct verbs_device *device);

const char *verbs_device_name(const struct verbs_device *device);

/* Whether connections can be made through the port: 0, -ENETDOWN or what the device says;
 * explained. out: its limits, the active MTU among them. */
int verbs_device_port(const struct verbs_device *device, uint8_t port,
		      struct ibv_port_attr *out) MUST_CHECK;

/* Registers memory in a protection domain. Explained: -ENOMEM and -EPERM come of RLIMIT_MEMLOCK. */
int verbs_device_register(const struct verbs_device *device, struct ibv_pd *pd, void *base,
			  size_t bytes, int access, struct ibv_mr **out) MUST_CHECK;

#endif
