/*
 * The engine's threads: ordinary ones of the C library (its errno and its setuid(2) need that),
 * with all signals blocked, on stacks that are never adopted, and with a table of descriptors of
 * their own.
 *
 * What is open in that table does not exist for the program: it cannot close it, nor put something
 * else in its place, as daemons and shells do that close or use every number there is. Were the
 * userfaultfd closed, all pages that are out would read as zeros. Nor do children inherit it. The
 * other way round an engine thread has none of the program's descriptors, and must not be given
 * one.
 */
#ifndef PAGER_THREAD_H
#define PAGER_THREAD_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define THREADS_MAX 6u

/*
 * Starts a thread that runs until the process ends. Called by a thread of the program, the new one
 * gets a new table, which is empty; called by an engine thread, it shares that one's. If the kernel
 * gives it no table it logs so and ends without a call of `run`.
 */
int thread_start(void *(*run)(void *), void *arg) MUST_CHECK;

/* The same, but a thread of the program starts one that has the program's descriptors. */
int thread_start_outside(void *(*run)(void *), void *arg) MUST_CHECK;

/*
 * The calling thread works in short bursts that others wait for: asks the scheduler for short turns
 * that come soon (from Linux 6.12 on), and for preference where it is privileged to. Does nothing
 * where the program runs under another policy than the normal one.
 */
void thread_be_prompt(void);

/* Undoes that: the slice and the nice value that the process's first thread has. */
void thread_be_usual(void);

/*
 * Between these the calling thread does what the engine waits for, with memory of the program's:
 * its faults must not wait for the engine in turn. Threads of thread_start() are on an errand all
 * their time. The last one is for the fault path.
 */
void thread_begin_errand(void);
void thread_end_errand(void);
bool thread_is_on_errand(uint32_t tid);

/* How many of them the kernel has in this process; 0 in a child that shares its parent's memory. */
unsigned thread_count(void);

/*
 * All but `left` of them have been told to end: waits until the kernel has no more than that. False
 * if it takes longer than a second.
 */
bool thread_await_end(unsigned left) MUST_CHECK;

/* The threads are not here (any more; in a forked child), but their stacks are. Gives them back. */
void thread_forget(void);

#endif
