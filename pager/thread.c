#include "pager/thread.h"

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "pager/config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORT_SLICE_NS 100000u /* the shortest that the kernel grants */
#define PROMPT_NICE (-10)
/* An attempt for each donor, and the engine's own. */
#define ERRANDS_MAX (CONFIG_MAX_DONORS + THREADS_MAX)
#define LEAVE_NS 100000000u
#define END_NS UINT64_C(1000000000)
#define STACK_BYTES (256u * 1024) /* as address space; the threads touch some 16 KiB of it */

struct start {
	void *stack;
	void *(*run)(void *);
	void *arg;
	bool own_table;		   /* not the program's */
	bool new_table;		   /* and nobody has it yet */
	_Atomic uint32_t has_left; /* futex: has a directory and a table of its own, or cannot */
	_Atomic uint32_t tid;	   /* once it runs */
};

/*
 * Whoever takes a number has that entry: several threads start others at the same time. Entries
 * without a stack are unused; a forked child meets the list at any moment.
 */
static struct {
	struct start list[THREADS_MAX];
	_Atomic unsigned count;
} threads;

static _Atomic uint32_t errands[ERRANDS_MAX]; /* threads on one; 0: nobody */

static __thread bool has_own_table;

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

/*
 * An empty table in one step, so that nothing of the program's is held open, not even for a moment:
 * the other end of a pipe would miss its end. The standard numbers are taken, lest what a library
 * has to say goes to a donor.
 */
static int leave_table(void)
{
	if (close_range(0, ~0u, CLOSE_RANGE_UNSHARE))
		return -errno;
	while (open("/dev/null", O_RDWR | O_CLOEXEC) >= 0 && fcntl(STDERR_FILENO, F_GETFD) < 0)
		;
	return 0;
}

/*
 * setns(2) to a mount namespace wants nobody to share the caller's root and working directory, and
 * what a daemon's chdir(2) leaves is to be free. Where it is refused all is as in any threaded
 * program.
 */
static void leave_directory(void)
{
	if (unshare(CLONE_FS) == 0)
		(void)!chdir("/");
}

static void *begin(void *arg)
{
	struct start *start = arg;
	int err = start->new_table ? leave_table() : 0;
	void *result;

	atomic_store(&start->tid, (uint32_t)gettid());
	leave_directory();
	atomic_store(&start->has_left, 1);
	futex_wake_all(&start->has_left);
	if (err) {
		log_warn("running without paging: no table for the engine's descriptors: %s",
			 strerror(-err));
		return NULL;
	}
	has_own_table = start->own_table;
	thread_begin_errand();
	result = start->run(start->arg);
	thread_end_errand();
	return result;
}

/* What the program does next may need that: setns(2) right after a fork. */
static void wait_until_it_has_left(struct start *start)
{
	(void)futex_await(&start->has_left, 0, LEAVE_NS);
}

static int start_on(struct start *start)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, start->stack, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, &attr, begin, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!err && !has_own_table)
		wait_until_it_has_left(start);
	return -err;
}

static int start_thread(struct start start)
{
	unsigned number = atomic_fetch_add(&threads.count, 1);
	struct start *kept;
	int err;

	if (number >= THREADS_MAX)
		return -EAGAIN;
	start.stack = map_stack();
	if (!start.stack)
		return -ENOMEM;
	kept = &threads.list[number];
	*kept = start;
	err = start_on(kept);
	if (err) {
		kept->stack = NULL;
		munmap(start.stack, STACK_BYTES);
	}
	return err;
}

int thread_start(void *(*run)(void *), void *arg)
{
	return start_thread((struct start){
		.run = run,
		.arg = arg,
		.own_table = true,
		.new_table = !has_own_table,
	});
}

int thread_start_outside(void *(*run)(void *), void *arg)
{
	return start_thread((struct start){.run = run, .arg = arg});
}

/* sched_setattr(2), which glibc has no wrapper for; the slice is new in Linux 6.12 (EEVDF). */
struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime; /* of the normal policy: the slice, in ns */
	uint64_t deadline;
	uint64_t period;
};

void thread_be_prompt(void)
{
	struct attributes attributes = {.size = sizeof(attributes)};

	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) ||
	    attributes.policy != SCHED_OTHER)
		return;
	attributes.runtime = SHORT_SLICE_NS;
	attributes.flags = 0;
	if (attributes.nice > PROMPT_NICE)
		attributes.nice = PROMPT_NICE;
	if (syscall(SYS_sched_setattr, 0, &attributes, 0) == 0)
		return;
	attributes.nice =
		getpriority(PRIO_PROCESS, 0); /* of this thread: no privilege to lower it */
	(void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void thread_be_usual(void)
{
	struct attributes attributes = {.size = sizeof(attributes)};

	if (syscall(SYS_sched_getattr, getpid(), &attributes, sizeof(attributes), 0) ||
	    attributes.policy != SCHED_OTHER)
		return;
	attributes.flags = 0;
	(void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* ---- errands ---- */

static bool replace_errand(uint32_t old, uint32_t new)
{
	for (unsigned i = 0; i < ERRANDS_MAX; i++) {
		uint32_t seen = old;

		if (atomic_compare_exchange_strong(&errands[i], &seen, new))
			return true;
	}
	return false;
}

/* One too many is served like everybody else. */
void thread_begin_errand(void)
{
	(void)replace_errand(0, (uint32_t)gettid());
}

void thread_end_errand(void)
{
	(void)replace_errand((uint32_t)gettid(), 0);
}

bool thread_is_on_errand(uint32_t tid)
{
	for (unsigned i = 0; i < ERRANDS_MAX; i++) {
		if (atomic_load_explicit(&errands[i], memory_order_relaxed) == tid)
			return true;
	}
	return false;
}

/* ---- their end ---- */

/* The kernel counts a thread as one until it has let go of all it had. */
static bool is_alive(const struct start *start)
{
	uint32_t tid = atomic_load(&start->tid);

	return start->stack && tid && syscall(SYS_tgkill, getpid(), (pid_t)tid, 0) == 0;
}

unsigned thread_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < THREADS_MAX; i++)
		n += is_alive(&threads.list[i]);
	return n;
}

bool thread_await_end(unsigned left)
{
	uint64_t end_ns = clock_ns() + END_NS;

	while (thread_count() > left) {
		if (clock_ns() > end_ns)
			return false;
		sched_yield();
	}
	return true;
}

/* ---- after a fork ---- */

void thread_forget(void)
{
	for (unsigned i = 0; i < ERRANDS_MAX; i++)
		atomic_store(&errands[i], 0);
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		if (threads.list[i].stack)
			munmap(threads.list[i].stack, STACK_BYTES);
		threads.list[i].stack = NULL;
	}
	atomic_store(&threads.count, 0);
}
