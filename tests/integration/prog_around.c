/*
 * Changes what a process lives in while its memory is out, for good: see ways.h. So one way in each
 * run. What needs root is not here without it.
 */
#include "tests/integration/children.h"
#include "tests/integration/ways.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DESCRIPTORS 64u
#define MORE_BYTES (UINT64_C(1) << 30) /* than the program has, under RLIMIT_AS */

static void check_child(const struct piece *piece, pid_t pid)
{
	must(pid >= 0, "fork");
	if (pid == 0) {
		struct piece own;

		ways_name = "a child";
		piece_check(piece, "inherited");
		own = piece_new(PIECE_PAGES, 0);
		piece_write(&own);
		piece_check(&own, "a child's own");
		_exit(0);
	}
	child_await(pid, "child");
}

/* What a program does afterwards: it goes on, makes more, and forks. */
static void go_on(struct piece *piece)
{
	piece_check(piece, "afterwards");
	piece->version = version_new();
	piece_write(piece);
	piece_check_again(piece, "written afterwards");
	check_child(piece, fork());
	piece_check(piece, "after a child");
	piece_free(piece);
}

/* False if this process has not the right to, or there is no such thing here. */
static bool may(int result, const char *what)
{
	if (result == 0)
		return true;
	must(errno == EPERM || errno == EINVAL, what);
	way_is_missing();
	return false;
}

/* ---- limits ---- */

/* All that the limit permits can be opened, and with nothing left memory comes and goes. */
static void few_descriptors(void)
{
	const struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
	struct piece piece = piece_out(PIECE_PAGES);
	int fds[DESCRIPTORS];
	unsigned were = 0, n = 0;

	must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
	for (int fd = 0; fd < (int)DESCRIPTORS; fd++)
		were += fcntl(fd, F_GETFD) >= 0;
	while (n < DESCRIPTORS && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	must(errno == EMFILE && were + n == DESCRIPTORS, "descriptors that can be opened");
	piece_check_again(&piece, "with no descriptor left");
	while (n)
		close(fds[--n]);
	go_on(&piece);
}

static uint64_t address_space(void)
{
	char text[128] = "";
	int fd = open("/proc/self/statm", O_RDONLY);

	must(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "statm");
	close(fd);
	return strtoull(text, NULL, 10) * PAGE_BYTES;
}

static void little_address_space(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct rlimit limit;
	void *at;

	must(getrlimit(RLIMIT_AS, &limit) == 0, "getrlimit");
	limit.rlim_cur = address_space() + MORE_BYTES;
	must(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
	at = mmap(NULL, MORE_BYTES / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED, "what the limit leaves");
	must(mmap(NULL, MORE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
		     errno == ENOMEM,
	     "what the limit does not leave");
	munmap(at, MORE_BYTES / 2);
	go_on(&piece);
	limit.rlim_cur = limit.rlim_max;
	must(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
}

/* ---- another world ---- */

static void change_root(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	if (may(chroot(ways_round ? "/" : "/proc/self"), "chroot"))
		must(chdir("/") == 0, "chdir");
	go_on(&piece);
}

/* There and back, which the kernel permits only to who shares its directories with nobody. */
static void other_mounts(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	must(home >= 0, "/proc/self/ns/mnt");
	if (may(unshare(CLONE_NEWNS), "unshare")) {
		piece_check_again(&piece, "in another mount namespace");
		must(setns(home, CLONE_NEWNS) == 0, "setns");
	}
	close(home);
	go_on(&piece);
}

/* Children are the first there, and have no /proc that knows them. */
static void other_pids(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	pid_t pid = fork(); /* a namespace whose first process has ended takes no more */

	if (pid == 0) {
		ways_name = "a child";
		if (may(unshare(CLONE_NEWPID), "unshare"))
			check_child(&piece, fork());
		_exit(0);
	}
	check_child(&piece, pid);
	go_on(&piece);
}

/* /proc/self belongs to root from then on. */
static void be_private(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "prctl");
	go_on(&piece);
}

/* ---- few system calls ---- */

#define ALLOW(number)                                        \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What this program still needs; any other call of this thread ends the process. */
static void forbid(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_mmap),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mincore),
		ALLOW(SYS_madvise),
		ALLOW(SYS_clock_gettime),
		ALLOW(SYS_futex), /* as any lock of the C library needs it */
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {ARRAY_LEN(filter), filter};

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		     prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0,
	     "seccomp");
}

static void few_system_calls(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	if (ways_round == 0)
		forbid();
	piece_check_again(&piece, "with few system calls");
	piece.version = version_new();
	piece_write(&piece);
	must(madvise(piece.at, PIECE_BYTES / 2, MADV_DONTNEED) == 0, "madvise");
	zeros_check(piece.at, PIECE_PAGES / 2, "dropped with few system calls");
	piece_free(&piece);
}

static const struct way ways[] = {
	{"nofile", few_descriptors},   {"address-space", little_address_space},
	{"chroot", change_root},       {"mounts", other_mounts},
	{"pids", other_pids},	       {"undumpable", be_private},
	{"seccomp", few_system_calls},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
