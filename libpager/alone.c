/*
 * In front of unshare(2) and setns(2), which the kernel refuses to a process of more than one
 * thread where a user namespace or the time is concerned. The program may have one thread, and
 * would have been let through without ours: those end for the moment.
 */
#include "libpager/front.h"

#include "libpager/host.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef int unshare_fn(int flags);
typedef int setns_fn(int fd, int type);

static unshare_fn *next_unshare;
static setns_fn *next_setns;

void alone_init(void)
{
	*(void **)&next_unshare = dlsym(RTLD_NEXT, "unshare");
	*(void **)&next_setns = dlsym(RTLD_NEXT, "setns");
}

struct order {
	int fd; /* of setns(2); -1: unshare(2) */
	int flags;
};

static int call(const struct order *order)
{
	if (order->fd < 0)
		return next_unshare ? next_unshare(order->flags)
				    : (int)syscall(SYS_unshare, order->flags);
	return next_setns ? next_setns(order->fd, order->flags)
			  : (int)syscall(SYS_setns, order->fd, order->flags);
}

/* Most refusals have other reasons; then it is refused once more. */
static int call_alone(const struct order *order)
{
	int before_errno = errno, result = call(order), saved = errno;
	signal_mask before;

	if (result == 0 || (errno != EINVAL && errno != EUSERS) || !host_engine())
		return result;
	before = front_block_signals();
	if (host_withdraw()) {
		errno = before_errno;
		result = call(order);
		saved = errno;
		host_return();
	}
	front_restore_signals(before);
	errno = saved;
	return result;
}

__attribute__((visibility("default"))) int unshare(int flags)
{
	const struct order order = {.fd = -1, .flags = flags};

	return call_alone(&order);
}

__attribute__((visibility("default"))) int setns(int fd, int type)
{
	const struct order order = {.fd = fd, .flags = type};

	return call_alone(&order);
}
