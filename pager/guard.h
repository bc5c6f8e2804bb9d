/*
 * Where the kernel does not report forks (no CAP_SYS_PTRACE), adopted memory is MADV_DONTFORK: the
 * child of a fork that we do not see faults instead of reading zeros. Around a fork that we do see
 * (recall.h) it is inherited: the guard is open, and nothing is taken out.
 *
 *   nothing is adopted, or nobody has forked     closed; a range that is adopted is closed at once
 *   a thread is about to fork, all is home       fault thread opens it, then lets the thread go on
 *   none is any more                             fault thread closes it; taking out goes on
 *
 * Until all donors are connected it is open: nothing is out. Where forks are reported nothing of
 * this is needed.
 *
 * madvise(2) acts on whatever is mapped: what is closed just while one thread unmaps it and another
 * maps something else there may be that other thing, which may then be moved anywhere, and nobody
 * tells of it. A mapping that has grown is adopted only to its old end. So all private memory is
 * opened, whatever the books say of it; also what the program had made MADV_DONTFORK itself. And
 * mappings are closed as a whole: one that is closed in part is two, which mremap(2) refuses.
 */
#ifndef PAGER_GUARD_H
#define PAGER_GUARD_H

#include "common/base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;

/* Under map_lock, but for `open`, which may be read without. */
struct guard {
	bool needed;	   /* set once */
	_Atomic bool open; /* only where it is needed */
	bool all_through;  /* nothing that is adopted is closed any more */
	uint64_t shut_to;  /* while closing: end of what was closed last */
	int maps_fd;	   /* of maps_open() */
	char *maps;	   /* for maps_each(), without map_lock */
	char *found;	   /* for maps_find() */
};

/* Before anything is adopted. */
int guard_start(struct engine *engine) MUST_CHECK;

/*
 * For a range that has just been registered, or has come into the regions: closes the mappings that
 * are there, whole. Under map_lock.
 */
void guard_add(struct engine *engine, uint64_t start, uint64_t end);

/*
 * All that is adopted will be inherited, also what threads are moving elsewhere (mremap). False if
 * the map is changing: again, once that has been read. Fault thread, when a fork is wanted.
 */
bool guard_let_through(struct engine *engine) MUST_CHECK;

/* The opposite, if it is not so already. Fault thread, when no fork is wanted. */
void guard_shut(struct engine *engine);

/* Whether nothing may be taken out because of it. Any thread. */
static inline bool guard_is_open(const struct guard *guard)
{
	return atomic_load(&guard->open);
}

#endif
