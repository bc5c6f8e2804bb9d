#include "tests/integration/system_calls.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define STACK_BYTES (16 * PAGE_BYTES)
#define FRAMES 40u
#define FRAME_BYTES 5000u

static _Atomic unsigned handled;
static volatile uintptr_t handler_was_at;

static void install(int sig, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigemptyset(&action.sa_mask);
	must(!sigaction(sig, &action, NULL), "sigaction");
}

static void note_it(int sig UNUSED)
{
	handler_was_at = (uintptr_t)__builtin_frame_address(0);
	atomic_fetch_add(&handled, 1);
}

/* Results that stay in registers from one step to the next: a frame that comes back wrong shows. */
static double compute(unsigned steps)
{
	double a = 1, b = 0.5, c = 0.25;

	for (unsigned i = 0; i < steps; i++) {
		a = a * 0.75 + b;
		b = b * 0.5 + c;
		c = c * 0.25 + a * 0.0625;
	}
	return a + b + c;
}

/* ---- a stack for signals that is out ---- */

static stack_t other_stack(void)
{
	stack_t stack = {.ss_sp = borrow(STACK_BYTES), .ss_size = STACK_BYTES};

	must(!sigaltstack(&stack, NULL), "sigaltstack");
	return stack;
}

static void no_other_stack(void)
{
	stack_t none = {.ss_flags = SS_DISABLE};

	must(!sigaltstack(&none, NULL), "sigaltstack");
}

int way_signal_stack(void)
{
	stack_t stack = other_stack();
	uintptr_t begin = (uintptr_t)stack.ss_sp;

	install(SIGUSR1, note_it, SA_ONSTACK);
	for (unsigned i = 0; i < 2; i++) {
		atomic_store(&handled, 0);
		wait_until_out(stack.ss_sp, STACK_BYTES);
		must(!raise(SIGUSR1) && atomic_load(&handled) == 1, "a handler that was not run");
		must(handler_was_at >= begin && handler_was_at < begin + STACK_BYTES,
		     "a handler that ran elsewhere");
	}
	no_other_stack();
	return 0;
}

/* What the interrupted code had in registers is above us, and leaves while we are here. */
static void wait_below(int sig UNUSED, siginfo_t *info UNUSED, void *context)
{
	volatile char room[4 * PAGE_BYTES];
	char *frame = context;

	room[0] = 0;
	wait_until_out((char *)((uintptr_t)frame & ~(uintptr_t)(PAGE_BYTES - 1)), PAGE_BYTES);
	atomic_fetch_add(&handled, 1U + (unsigned)room[0]);
}

int way_signal_frame(void)
{
	struct sigaction action = {.sa_sigaction = wait_below, .sa_flags = SA_ONSTACK | SA_SIGINFO};
	double before = compute(10000);
	struct itimerval soon = {.it_value.tv_usec = 2000};

	other_stack();
	must(!sigaction(SIGVTALRM, &action, NULL), "sigaction");
	for (unsigned i = 0; i < 2; i++) {
		atomic_store(&handled, 0);
		must(!setitimer(ITIMER_VIRTUAL, &soon, NULL), "setitimer");
		while (!atomic_load(&handled))
			must(compute(10000) == before, "what was in registers");
	}
	no_other_stack();
	return 0;
}

/* ---- stacks of threads ---- */

struct deep {
	int go[2];
	char *_Atomic highest, *_Atomic lowest; /* of what it has used */
};

/* Every frame is full of what only it holds. */
static void __attribute__((noinline)) go_deeper(struct deep *deep, unsigned depth)
{
	volatile char frame[FRAME_BYTES];
	char byte;

	for (unsigned i = 0; i < FRAME_BYTES; i++)
		frame[i] = (char)(i * 13 + depth);
	if (depth == FRAMES) {
		atomic_store(&deep->lowest, (char *)frame);
		while (read(deep->go[0], &byte, 1) != 1)
			;
	} else {
		go_deeper(deep, depth + 1);
	}
	for (unsigned i = 0; i < FRAME_BYTES; i++)
		must(frame[i] == (char)(i * 13 + depth), "a frame of a stack that was out");
}

static void *be_deep(void *arg)
{
	struct deep *deep = arg;
	char here;

	atomic_store(&deep->highest, &here);
	go_deeper(deep, 0);
	return NULL;
}

/* It sleeps at the lower end; a handler runs below that, where the page is out, too. */
int way_thread_stack(void)
{
	struct deep *deep = plain_memory(sizeof(*deep));
	char *low, *high;
	pthread_t thread;

	install(SIGUSR1, note_it, SA_RESTART);
	atomic_store(&handled, 0);
	must(!pipe(deep->go), "pipe");
	thread = thread_start(be_deep, deep);
	while (!atomic_load(&deep->lowest))
		usleep(1000);
	low = atomic_load(&deep->lowest);
	high = atomic_load(&deep->highest);
	wait_until_out(low, (size_t)(high - low));
	must(!pthread_kill(thread, SIGUSR1), "pthread_kill");
	while (!atomic_load(&handled))
		usleep(1000);
	must(handler_was_at < (uintptr_t)low && handler_was_at > (uintptr_t)low - STACK_BYTES,
	     "a handler that ran elsewhere");
	wait_until_out(low, (size_t)(high - low));
	must(write(deep->go[1], "x", 1) == 1, "write");
	pthread_join(thread, NULL);
	close(deep->go[0]);
	close(deep->go[1]);
	return 0;
}

/* ---- what the kernel writes whenever a thread goes on ---- */

struct idle {
	int go[2];
	char *_Atomic area; /* rseq(2), next to all else that the thread has for itself */
	_Atomic pid_t tid;
	unsigned wanted; /* CPU */
};

static _Thread_local uint64_t own = 0x0123456789abcdef;

static struct rseq *rseq_area(void)
{
	return (struct rseq *)(void *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void *be_idle(void *arg)
{
	struct idle *idle = arg;
	char byte;

	own += (uint64_t)gettid();
	atomic_store(&idle->tid, gettid());
	atomic_store(&idle->area, (char *)rseq_area());
	must(read(idle->go[0], &byte, 1) == 1, "read");
	must(!__rseq_size || rseq_area()->cpu_id == idle->wanted, "the CPU of rseq(2)");
	must(own == 0x0123456789abcdef + (uint64_t)gettid(), "a variable of the thread");
	return NULL;
}

/* The thread wakes on a CPU where it was not before, if there is one. */
static unsigned choose_cpu(pid_t tid, unsigned i)
{
	cpu_set_t all, one;
	unsigned cpu = 0;

	must(!sched_getaffinity(0, sizeof(all), &all), "sched_getaffinity");
	for (i %= (unsigned)CPU_COUNT(&all); !CPU_ISSET(cpu, &all) || i; cpu++)
		i -= CPU_ISSET(cpu, &all) ? 1 : 0;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	must(!sched_setaffinity(tid, sizeof(one), &one), "sched_setaffinity");
	return cpu;
}

int way_idle_thread(void)
{
	struct idle *idle = plain_memory(sizeof(*idle));

	for (unsigned i = 0; i < 4; i++) {
		pthread_t thread;

		atomic_store(&idle->area, NULL);
		must(!pipe(idle->go), "pipe");
		thread = thread_start(be_idle, idle);
		while (!atomic_load(&idle->area))
			usleep(1000);
		wait_until_out(atomic_load(&idle->area), sizeof(struct rseq));
		idle->wanted = choose_cpu(atomic_load(&idle->tid), i);
		must(write(idle->go[1], "x", 1) == 1, "write");
		pthread_join(thread, NULL);
		close(idle->go[0]);
		close(idle->go[1]);
	}
	return 0;
}

/* ---- what the kernel writes when a thread ends ---- */

struct ending {
	int go[2];
	void *_Atomic own; /* what the C library keeps of the thread, with the word in question */
};

/* Between being woken and its end it touches nothing, and neither does the kernel on its behalf. */
static void *end_untouched(void *arg)
{
	struct ending *ending = arg;
	struct robust_list_head *head;
	long result, len;

	must(!syscall(SYS_get_robust_list, 0, &head, &len), "get_robust_list");
	must(!__rseq_size || !syscall(SYS_rseq, rseq_area(), sizeof(struct rseq),
				      RSEQ_FLAG_UNREGISTER, RSEQ_SIG),
	     "rseq");
	atomic_store(&ending->own, head);
	__asm__ volatile("syscall\n\t"
			 "mov %[end], %%eax\n\t"
			 "xor %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "ud2"
			 : "=a"(result)
			 : "a"((long)SYS_read), "D"((long)ending->go[0]), "S"(ending),
			   "d"(1L), [end] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return (void *)result;
}

static void *join(void *arg)
{
	must(!pthread_join(*(pthread_t *)arg, NULL), "pthread_join");
	return NULL;
}

/* Who waits for it is told, whether it has begun to long before or does so afterwards. */
int way_thread_end(void)
{
	struct ending *ending = plain_memory(sizeof(*ending));

	for (unsigned i = 0; i < 4; i++) {
		pthread_t thread, waiter = 0;

		atomic_store(&ending->own, NULL);
		must(!pipe(ending->go), "pipe");
		thread = thread_start(end_untouched, ending);
		while (!atomic_load(&ending->own))
			usleep(1000);
		if (i % 2)
			waiter = thread_start(join, &thread);
		wait_until_out((char *)atomic_load(&ending->own) - 32, 64);
		close(ending->go[1]); /* it reads the end of a file */
		if (i % 2)
			pthread_join(waiter, NULL);
		else
			join(&thread);
		close(ending->go[0]);
	}
	return 0;
}

/* ---- signals that come while the kernel waits for pages ---- */

#define TOUCHED_PAGES 256u

static char *touched; /* by the handler: what it interrupts waits for a page, and it does, too */
static _Atomic bool enough;

static void touch(int sig UNUSED)
{
	static unsigned next;
	unsigned page = next++ * 37 % TOUCHED_PAGES;

	for (size_t i = 0; i < PAGE_BYTES; i++)
		must(touched[page * PAGE_BYTES + i] == (char)page, "what a handler saw");
	atomic_fetch_add(&handled, 1);
}

static void *keep_calling(void *arg)
{
	while (!atomic_load(&enough)) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		usleep(100);
	}
	return NULL;
}

static void read_and_write(int fd)
{
	char *got = plain_memory(PIECE_BYTES);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();
		const char *bytes = news(piece.len);

		must(pwrite(fd, bytes, piece.len, 0) == (ssize_t)piece.len, "pwrite");
		must(pread(fd, piece.at, piece.len, 0) == (ssize_t)piece.len, "pread");
		piece_must_have(&piece, bytes);
		piece = piece_out();
		must(pwrite(fd, piece.at, piece.len, 0) == (ssize_t)piece.len, "pwrite");
		must(pread(fd, got, piece.len, 0) == (ssize_t)piece.len, "pread");
		piece_must_be(&piece, got);
	}
	munmap(got, PIECE_BYTES);
}

int way_signal_storm(void)
{
	pthread_t self = pthread_self(), caller;
	int fd = scratch_file(0);

	touched = borrow(TOUCHED_PAGES * PAGE_BYTES);
	for (unsigned page = 0; page < TOUCHED_PAGES; page++)
		memset(touched + page * PAGE_BYTES, (int)page, PAGE_BYTES);
	atomic_store(&handled, 0);
	atomic_store(&enough, false);
	install(SIGUSR1, touch, SA_RESTART);
	caller = thread_start(keep_calling, &self);
	/* All could be over before the first signal comes. */
	do
		read_and_write(fd);
	while (atomic_load(&handled) < rounds);
	atomic_store(&enough, true);
	pthread_join(caller, NULL);
	close(fd);
	return 0;
}
