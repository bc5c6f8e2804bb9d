#include "libpager/front.h"

#include "libpager/host.h"
#include "pager/heir.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Linux 6.13; newer than the headers of Debian 12. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define MOVE_TRIES 20u
#define MOVE_AGAIN_NS 1000000

typedef void *mremap_fn(void *old, size_t old_bytes, size_t new_bytes, int flags, ...);
typedef int madvise_fn(void *at, size_t bytes, int advice);

static mremap_fn *next_mremap;
static madvise_fn *next_madvise;

void front_init(void)
{
	*(void **)&next_mremap = dlsym(RTLD_NEXT, "mremap");
	*(void **)&next_madvise = dlsym(RTLD_NEXT, "madvise");
}

/* ---- signals ---- */

#define BIT(number) ((signal_mask)1 << ((number)-1))
#define SYNCHRONOUS \
	(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP) | BIT(SIGSYS))

static void set_mask(signal_mask new, signal_mask *old)
{
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &new, old, sizeof(new));
}

signal_mask front_block_signals(void)
{
	signal_mask before = 0;

	set_mask(~SYNCHRONOUS, &before);
	return before;
}

void front_restore_signals(signal_mask before)
{
	set_mask(before, NULL);
}

/* ---- mremap ---- */

static void *move(void *old, size_t old_bytes, size_t new_bytes, int flags, void *to)
{
	if (next_mremap)
		return next_mremap(old, old_bytes, new_bytes, flags, to);
	return (void *)syscall(SYS_mremap, old, old_bytes, new_bytes, flags, to);
}

static void *move_inside(struct gate *gate, void *old, size_t old_bytes, size_t new_bytes,
			 int flags, void *to)
{
	int saved = errno;
	signal_mask before = front_block_signals();
	void *at;

	gate_enter(gate);
	errno = saved;
	at = move(old, old_bytes, new_bytes, flags, to);
	saved = errno;
	gate_leave(gate);
	front_restore_signals(before);
	errno = saved;
	return at;
}

/*
 * Whether nothing is registered; or some of it may have gone when it fails, for from Linux 6.17 on
 * these may be several mappings. All others are refused as a whole.
 */
static bool is_final(const struct engine *engine, size_t old_bytes, size_t new_bytes, int flags)
{
	uint32_t phase = atomic_load(&engine->phase);

	return phase == ENGINE_WATCHING || phase == ENGINE_UNPAGED ||
	       ((flags & MREMAP_FIXED) && old_bytes == new_bytes);
}

/*
 * Refused as two mappings that are one but for the engine, which had registered a part of it: so it
 * may be, when the gate was not closed in time, or part of it is new. A moment later it is one
 * again. A program that means what is two mappings waits that moment for its refusal.
 */
static void *move_patiently(struct engine *engine, void *old, size_t old_bytes, size_t new_bytes,
			    int flags, void *to)
{
	const struct timespec moment = {.tv_nsec = MOVE_AGAIN_NS};
	int saved = errno;

	for (unsigned tries = 0;; tries++) {
		void *at = move_inside(&engine->moves, old, old_bytes, new_bytes, flags, to);

		if (at != MAP_FAILED || errno != EFAULT || tries == MOVE_TRIES ||
		    is_final(engine, old_bytes, new_bytes, flags))
			return at;
		engine_look_soon(engine);
		(void)syscall(SYS_nanosleep, &moment, NULL); /* no point of cancellation */
		errno = saved;
	}
}

/*
 * What it moves must not be two mappings to the kernel only because the engine is registering it
 * just now (pager/claim.h). realloc(3) does not pass through here: it takes a refusal for want of
 * room, and copies.
 */
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
		return move(old, old_bytes, new_bytes, flags, to);
	return move_patiently(engine, old, old_bytes, new_bytes, flags, to);
}

/* ---- madvise ---- */

static int advise(void *at, size_t bytes, int advice)
{
	if (next_madvise)
		return next_madvise(at, bytes, advice);
	return (int)syscall(SYS_madvise, at, bytes, advice);
}

/*
 * A guard drops the page that it takes the place of, and nobody tells the engine, which would put
 * the page there again when it is fetched ahead, or for a fork. MADV_DONTNEED is reported, and
 * leaves guards. What was fetched before the engine had read that has gone with it, and the guard
 * that it had replaced: hence the second time.
 */
static int guard(void *at, size_t bytes)
{
	int result = advise(at, bytes, MADV_GUARD_INSTALL), saved = errno;

	if (result == 0 || saved == ENOMEM) { /* ENOMEM: with a hole; the rest is guarded */
		(void)advise(at, bytes, MADV_DONTNEED);
		(void)advise(at, bytes, MADV_GUARD_INSTALL);
	}
	errno = saved;
	return result;
}

__attribute__((visibility("default"))) int madvise(void *at, size_t bytes, int advice)
{
	if (advice == MADV_GUARD_INSTALL && host_engine())
		return guard(at, bytes);
	if (advice == MADV_WIPEONFORK)
		heir_expect_wiped();
	return advise(at, bytes, advice);
}
