/*
 * Takes away, for a while, all memory of the process that the engine might take out: whatever is
 * anonymous, private, readable and writable, heaps and arenas of any allocator included. Left alone
 * are the variables of the program and of the libraries that it was started with, the stack and the
 * thread's own variables. Whoever touches the rest dies of SIGSEGV.
 */
#ifndef TESTS_CONTRACT_POISON_H
#define TESTS_CONTRACT_POISON_H

#include <stddef.h>

/* NULL, or why it cannot be done in this build. */
extern const char *const poison_impossible;

/* Returns how many bytes are taken away. Nothing that allocates until poison_lift(). */
size_t poison_lay(void);
void poison_lift(void);

#endif
