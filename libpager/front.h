/*
 * In front of the C library, where the kernel alone would do what the engine cannot know of or
 * undo: mremap(3) and madvise(3) in front.c, unshare(2) and setns(2) in alone.c, fork(3) in
 * preload.c. Calls that the C library makes for itself and system calls by hand do not pass
 * through; docs/uffd.md says what that means.
 */
#ifndef LIBPAGER_FRONT_H
#define LIBPAGER_FRONT_H

#include "common/base/compiler.h"

#include <stdint.h>

/* Looks for those behind ours: it may allocate, and who calls us may be an allocator. Before
 * main(). */
void front_init(void);
void alone_init(void);

/* The kernel's own set of signals, and those that pthread_sigmask(3) leaves to the C library. */
typedef uint64_t signal_mask;

/*
 * Blocks all but those that the kernel forces on who causes them; it would end the process if these
 * were blocked. A handler could leave with longjmp(3), or call the same once more. Returns what was
 * blocked before.
 */
signal_mask front_block_signals(void) MUST_CHECK;
void front_restore_signals(signal_mask before);

#endif
