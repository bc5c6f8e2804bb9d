/* Threads of the engine, in a process that forks. */
#include "pager/thread.h"

#include "common/base/lock.h"
#include "tests/suite.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE_BYTES (256u * 1024) /* as large as a stack: it comes to lie where one was */
#define PIECES 8u
#define FORKS 80u

static _Atomic uint32_t running;

static void *stay(void *arg UNUSED)
{
	futex_ring(&running);
	for (;;)
		futex_sleep(&running, UINT32_MAX, 0);
	return NULL;
}

/* As the control thread does, perhaps before whoever started it goes on. */
static void *start_others_and_stay(void *arg)
{
	for (unsigned i = 0; i < 2; i++)
		if (thread_start(stay, arg))
			return NULL;
	return stay(arg);
}

static bool start_three(void)
{
	uint32_t seen;

	atomic_store(&running, 0);
	if (thread_start(start_others_and_stay, NULL))
		return false;
	while ((seen = atomic_load(&running)) < 3)
		futex_sleep(&running, seen, 0);
	return true;
}

static bool is_mapped(void *at)
{
	unsigned char there[PIECE_BYTES / PAGE_BYTES];

	return mincore(at, PIECE_BYTES, there) == 0;
}

/* In a child of a child: what the first had mapped is still there. */
static int forget_again(void *const pieces[PIECES])
{
	thread_forget();
	for (unsigned i = 0; i < PIECES; i++)
		if (!is_mapped(pieces[i]))
			return 1;
	return 0;
}

static int status_of(pid_t pid)
{
	int status = -1;

	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static int live_as_child(void)
{
	void *pieces[PIECES];
	pid_t pid;

	thread_forget();
	for (unsigned i = 0; i < PIECES; i++) {
		pieces[i] = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (pieces[i] == MAP_FAILED)
			return 2;
	}
	if (!start_three())
		return 3;
	pid = fork();
	if (pid == 0)
		_exit(forget_again(pieces));
	return status_of(pid) ? 4 : 0;
}

static void only_their_own_stacks_are_unmapped_in_children(void)
{
	CU_ASSERT_TRUE_FATAL(start_three());
	for (unsigned i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(live_as_child());
		CU_ASSERT_EQUAL_FATAL(status_of(pid), 0);
	}
}

static void no_more_start_than_there_is_room_for(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		unsigned n = 0;

		thread_forget();
		while (n <= THREADS_MAX && thread_start(stay, NULL) == 0)
			n++;
		_exit(n == THREADS_MAX && thread_start(stay, NULL) == -EAGAIN ? 0 : 1);
	}
	CU_ASSERT_EQUAL(status_of(pid), 0);
}

#ifdef __SANITIZE_THREAD__
#define WHY_NOT "this sanitizer's threads want larger stacks, and none after a fork"
#else
#define WHY_NOT NULL
#endif

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(only_their_own_stacks_are_unmapped_in_children),
		SUITE_TEST(no_more_start_than_there_is_room_for),
		SUITE_END,
	};

	suite_set_inactive(tests, WHY_NOT);
	return suite_run("thread", tests);
}
