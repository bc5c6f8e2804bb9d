/* Children of a test program: made past the C library, and waited for. */
#ifndef TESTS_INTEGRATION_CHILDREN_H
#define TESTS_INTEGRATION_CHILDREN_H

#include "tests/integration/give_up.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fork past the C library and everything in front of it. */
static inline pid_t clone_plain(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* Waits for its end, which must be with 0. If it is not, `what` says which child that was. */
static inline void child_await(pid_t pid, const char *what)
{
	int status = -1;

	if (waitpid(pid, &status, 0) != pid || status)
		give_up("%s %d ended with wait status %#x", what, pid, (unsigned)status);
}

#endif
