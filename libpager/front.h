/*
 * In front of the C library, where the kernel alone would do what the engine cannot know of or
 * undo: mremap(3) and madvise(3) here, fork(3) in preload.c. Calls that the C library makes for
 * itself and system calls by hand do not pass through; docs/uffd.md says what that means.
 */
#ifndef LIBPAGER_FRONT_H
#define LIBPAGER_FRONT_H

/* Looks for those behind ours: it may allocate, and who calls us may be an allocator. Before
 * main(). */
void front_init(void);

#endif
