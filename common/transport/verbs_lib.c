#include "common/transport/verbs_lib.h"

#include "common/base/lock.h"
#include "common/transport/ops.h"
#include "common/transport/verbs_memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct {
	struct lock lock;
	pid_t pid; /* of the process that loaded them; 0: not loaded */
	struct verbs_lib lib;
} loaded;

/* dlerror() names the file and what is wrong with it: "libfoo.so.1: cannot open shared object…". */
static int explain_loader(void)
{
	const char *error = dlerror();

	tp_explain("%s", error ? error : "the RDMA libraries cannot be loaded");
	return -ENODEV;
}

static int find_functions(void *handle, struct verbs_lib *lib)
{
	const struct {
		const char *name;
		void **to;
	} functions[] = {
#define FUNCTION(member, function) {#function, (void **)&lib->member},
		VERBS_LIB_FUNCTIONS(FUNCTION)
#undef FUNCTION
			{"__errno_location", (void **)&lib->errno_location},
	};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(functions); i++) {
		*functions[i].to = dlsym(handle, functions[i].name);
		if (!*functions[i].to)
			return explain_loader();
	}
	return 0;
}

static int no_device(void)
{
	tp_explain("no RDMA device");
	return -ENODEV;
}

/* The kernel's part of libibverbs: where it is not, nobody need look for the libraries. */
static bool kernel_has_verbs(void)
{
	return access("/sys/class/infiniband_verbs", F_OK) == 0;
}

/* Makes libibverbs load its drivers now and not while somebody waits. */
static int find_devices(const struct verbs_lib *lib)
{
	struct ibv_device **list;
	int n;

	list = lib->get_device_list(&n);
	if (!list)
		n = 0;
	else
		lib->free_device_list(list);
	return n > 0 ? 0 : no_device();
}

/* librdmacm brings libibverbs along. */
static int load(void)
{
	void *handle;
	int err;

	if (!kernel_has_verbs())
		return no_device();
	handle = dlmopen(LM_ID_NEWLM, "librdmacm.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return explain_loader();
	err = verbs_memory_guard(handle);
	if (err) {
		tp_explain("the RDMA libraries cannot be made safe: %s", strerror(-err));
		goto err_close;
	}
	err = find_functions(handle, &loaded.lib);
	if (err)
		goto err_close;
	loaded.pid = getpid();
	return 0;

err_close:
	dlclose(handle);
	return err;
}

int verbs_lib_load(const struct verbs_lib **out)
{
	int err;

	/* A forked child has them, and cannot use them; the lock may be its parent's. */
	if (loaded.pid && loaded.pid != getpid())
		memset(&loaded, 0, sizeof(loaded));
	lock_acquire(&loaded.lock);
	err = loaded.pid ? 0 : load();
	if (!err)
		err = find_devices(&loaded.lib);
	lock_release(&loaded.lock);
	if (err)
		return err;
	*out = &loaded.lib;
	return 0;
}

int verbs_lib_error(const struct verbs_lib *lib)
{
	int err = *lib->errno_location();

	/* Drivers forget to set it, and 0 would be success. */
	return err > 0 ? -err : -EIO;
}
