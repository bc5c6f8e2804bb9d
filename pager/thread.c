#include "pager/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_BYTES (256u * 1024) /* as address space; the threads touch some 16 KiB of it */

static struct {
	void *list[THREADS_MAX];
	unsigned count;
} stacks;

/*
 * The C library keeps a thread's struct on its stack and, in a forked child, walks over all of them
 * and writes to them. So this memory must be inherited, as a copy: a private mapping, which is not
 * adopted because there is a file behind it.
 */
static void *map_stack(void)
{
	int fd = memfd_create("libpager-stack", MFD_CLOEXEC);
	void *at;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, STACK_BYTES)) {
		close(fd);
		return NULL;
	}
	at = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	return at == MAP_FAILED ? NULL : at;
}

static int start_on(void *stack, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int thread_start(void *(*run)(void *), void *arg)
{
	void *stack;
	int err;

	if (stacks.count == THREADS_MAX)
		return -EAGAIN;
	stack = map_stack();
	if (!stack)
		return -ENOMEM;
	err = start_on(stack, run, arg);
	if (err)
		munmap(stack, STACK_BYTES);
	else
		stacks.list[stacks.count++] = stack;
	return err;
}

void thread_forget(void)
{
	while (stacks.count)
		munmap(stacks.list[--stacks.count], STACK_BYTES);
}
