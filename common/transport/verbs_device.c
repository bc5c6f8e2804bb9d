#include "common/transport/verbs_device.h"

#include "common/base/fault_point.h"
#include "common/transport/ops.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

const char *verbs_device_name(const struct verbs_device *device)
{
	return device->context->device->name;
}

void verbs_device_close(struct verbs_device *device)
{
	if (device->context)
		device->lib->close_device(device->context);
	device->context = NULL;
}

int verbs_device_port(const struct verbs_device *device, uint8_t port, struct ibv_port_attr *out)
{
	struct ibv_port_attr attr;
	int err;

	memset(&attr, 0, sizeof(attr));
	/* The compatible form fills in the first part, which is all that is looked at. */
	err = device->lib->query_port(device->context, port, (struct _compat_ibv_port_attr *)&attr);
	if (err) {
		tp_explain("%s port %u cannot be asked: %s", verbs_device_name(device), port,
			   strerror(err));
		return -err;
	}
	if (attr.state != IBV_PORT_ACTIVE) {
		tp_explain("%s port %u is down", verbs_device_name(device), port);
		return -ENETDOWN;
	}
	*out = attr;
	return 0;
}

/* Keys over iWARP do not protect what these keys have to: READs need a writable local buffer. */
static int check_kind(const struct ibv_device *device)
{
	if (device->transport_type == IBV_TRANSPORT_IB)
		return 0;
	tp_explain("%s is neither InfiniBand nor RoCE", device->name);
	return -EOPNOTSUPP;
}

static int open_one(const struct verbs_lib *lib, struct ibv_device *from, struct verbs_device *out)
{
	struct verbs_device device = {.lib = lib};
	int err;

	err = check_kind(from);
	if (err)
		return err;
	device.context = FAULT_POINT() ? NULL : lib->open_device(from);
	if (!device.context) {
		err = verbs_lib_error(lib);
		tp_explain("%s cannot be opened: %s", from->name, strerror(-err));
		return err;
	}
	err = -lib->query_device(device.context, &device.limits);
	if (err) {
		tp_explain("%s cannot be asked: %s", from->name, strerror(-err));
		verbs_device_close(&device);
		return err;
	}
	*out = device;
	return 0;
}

static int open_if_up(const struct verbs_lib *lib, struct ibv_device *from,
		      struct verbs_device *out)
{
	struct verbs_device device;
	struct ibv_port_attr ignored;
	unsigned port;
	int err;

	err = open_one(lib, from, &device);
	if (err)
		return err;
	err = -ENODEV;
	for (port = 1; port <= device.limits.phys_port_cnt; port++) {
		err = verbs_device_port(&device, (uint8_t)port, &ignored);
		if (!err) {
			*out = device;
			return 0;
		}
	}
	verbs_device_close(&device);
	return err;
}

static int open_named(const struct verbs_lib *lib, struct ibv_device **list, const char *name,
		      struct verbs_device *out)
{
	for (; *list; list++) {
		if (strcmp((*list)->name, name) == 0)
			return open_one(lib, *list, out);
	}
	tp_explain("%s is gone", name);
	return -ENODEV;
}

/* If there is none, the last one tells why. */
static int open_first(const struct verbs_lib *lib, struct ibv_device **list,
		      struct verbs_device *out)
{
	int err = -ENODEV;

	tp_explain("no RDMA device");
	for (; *list; list++) {
		err = open_if_up(lib, *list, out);
		if (!err) {
			tp_explain_nothing();
			return 0;
		}
	}
	return err;
}

int verbs_device_open(const struct verbs_lib *lib, const char *name, struct verbs_device *out)
{
	struct ibv_device **list = lib->get_device_list(NULL);
	int err;

	if (!list) {
		err = verbs_lib_error(lib);
		tp_explain("RDMA devices cannot be listed: %s", strerror(-err));
		return err;
	}
	err = name ? open_named(lib, list, name, out) : open_first(lib, list, out);
	lib->free_device_list(list);
	return err;
}

/* The kernel says ENOMEM, and in some releases EPERM, if the limit is what stops it. */
static void explain_register(const struct verbs_device *device, size_t bytes, int err)
{
	struct rlimit limit;

	if ((err == -ENOMEM || err == -EPERM) && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)
		tp_explain("%zu KiB cannot be registered: RLIMIT_MEMLOCK is %llu KiB", bytes >> 10,
			   (unsigned long long)limit.rlim_cur >> 10);
	else
		tp_explain("%s cannot register %zu KiB: %s", verbs_device_name(device), bytes >> 10,
			   strerror(-err));
}

int verbs_device_register(const struct verbs_device *device, struct ibv_pd *pd, void *base,
			  size_t bytes, int access, struct ibv_mr **out)
{
	struct ibv_mr *mr = FAULT_POINT() ? NULL : device->lib->reg_mr(pd, base, bytes, access);
	int err;

	if (!mr) {
		err = verbs_lib_error(device->lib);
		explain_register(device, bytes, err);
		return err;
	}
	*out = mr;
	return 0;
}
