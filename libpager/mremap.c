/*
 * In front of mremap(3): what it moves must not be two mappings to the kernel only because the
 * engine is registering it just now (pager/claim.h). Calls that the C library makes for itself
 * (realloc(3)) and system calls by hand do not pass through here; the former take a refusal for
 * want of room, and copy.
 */
#include "libpager/mremap.h"

#include "libpager/host.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void *mremap_fn(void *old, size_t old_bytes, size_t new_bytes, int flags, ...);

/* Set before main(): looking for it may allocate, and who calls us may be an allocator. */
static mremap_fn *next;

void mremap_init(void)
{
	*(void **)&next = dlsym(RTLD_NEXT, "mremap");
}

/* The kernel's own set of signals, and those that pthread_sigmask(3) leaves to the C library. */
typedef uint64_t mask;

static void set_mask(mask new, mask *old)
{
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &new, old, sizeof(new));
}

static void *call(void *old, size_t old_bytes, size_t new_bytes, int flags, void *to)
{
	if (next)
		return next(old, old_bytes, new_bytes, flags, to);
	return (void *)syscall(SYS_mremap, old, old_bytes, new_bytes, flags, to);
}

/* A handler could leave with longjmp(3), or call this once more. */
static void *call_inside(struct gate *gate, void *old, size_t old_bytes, size_t new_bytes,
			 int flags, void *to)
{
	int saved = errno;
	void *at;
	mask before = 0;

	set_mask(~(mask)0, &before);
	gate_enter(gate);
	errno = saved;
	at = call(old, old_bytes, new_bytes, flags, to);
	saved = errno;
	gate_leave(gate);
	set_mask(before, NULL);
	errno = saved;
	return at;
}

__attribute__((visibility("default"))) void *mremap(void *old, size_t old_bytes, size_t new_bytes,
						    int flags, ...)
{
	struct engine *engine = host_engine();
	va_list more;
	void *to;

	va_start(more, flags); /* the C library, too, takes it whether it is there or not */
	to = va_arg(more, void *);
	va_end(more);
	if (!engine)
		return call(old, old_bytes, new_bytes, flags, to);
	return call_inside(&engine->moves, old, old_bytes, new_bytes, flags, to);
}
