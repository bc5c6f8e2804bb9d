/*
 * The engine's threads: ordinary ones of the C library (its errno and its setuid(2) need that),
 * with all signals blocked, on stacks that are never adopted.
 */
#ifndef PAGER_THREAD_H
#define PAGER_THREAD_H

#include "common/base/compiler.h"

#define THREADS_MAX 4u

/* Starts a thread that runs until the process ends. */
int thread_start(void *(*run)(void *), void *arg) MUST_CHECK;

/* In a forked child: the threads are not here, but their stacks are. Gives them back. */
void thread_forget(void);

#endif
