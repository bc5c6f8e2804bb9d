#include "common/base/compiler.h"
#include "tests/integration/system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the other process is asked to do with our memory, and what it answers. */
enum deed { VM_READ, VM_WRITE, MEM_READ, MEM_WRITE, PEEK, POKE };

struct request {
	enum deed deed;
	pid_t pid;
	uint64_t address;
	uint64_t len;
};

struct answer {
	int64_t result; /* bytes, or a negative errno */
};

static int commands = -1, answers = -1; /* its ends that are ours */
static char *shared;			/* PIECE_BYTES that both have */

/* ---- the other process ---- */

static int64_t by_vm(const struct request *request, char *bytes)
{
	struct iovec here = {bytes, request->len};
	struct iovec there = {(void *)(uintptr_t)request->address, request->len};
	ssize_t n = request->deed == VM_READ
			    ? process_vm_readv(request->pid, &here, 1, &there, 1, 0)
			    : process_vm_writev(request->pid, &here, 1, &there, 1, 0);

	return n < 0 ? -errno : n;
}

static int64_t by_mem(const struct request *request, char *bytes)
{
	char path[32];
	int64_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", request->pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = request->deed == MEM_READ ? pread(fd, bytes, request->len, (off_t)request->address)
				      : pwrite(fd, bytes, request->len, (off_t)request->address);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

/* One word. */
static int64_t by_trace(const struct request *request, char *bytes)
{
	long word;
	int err;

	if (ptrace(PTRACE_SEIZE, request->pid, 0, 0) ||
	    ptrace(PTRACE_INTERRUPT, request->pid, 0, 0) ||
	    waitpid(request->pid, NULL, __WALL) != request->pid)
		return -errno;
	memcpy(&word, bytes, sizeof(word));
	errno = 0;
	if (request->deed == PEEK)
		word = ptrace(PTRACE_PEEKDATA, request->pid, request->address, 0);
	else
		ptrace(PTRACE_POKEDATA, request->pid, request->address, word);
	err = errno;
	memcpy(bytes, &word, sizeof(word));
	ptrace(PTRACE_DETACH, request->pid, 0, 0);
	return err ? -err : (int64_t)sizeof(word);
}

static int64_t serve(const struct request *request, char *bytes)
{
	switch (request->deed) {
	case VM_READ:
	case VM_WRITE:
		return by_vm(request, bytes);
	case MEM_READ:
	case MEM_WRITE:
		return by_mem(request, bytes);
	default:
		return by_trace(request, bytes);
	}
}

/* Standard input and output are what it hears and says; the memory is descriptor 3. */
void peer_main(void)
{
	char *bytes = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	struct request request;

	must(bytes != MAP_FAILED, "mmap");
	while (read(STDIN_FILENO, &request, sizeof(request)) == sizeof(request)) {
		struct answer answer = {serve(&request, bytes)};

		must(write(STDOUT_FILENO, &answer, sizeof(answer)) == sizeof(answer), "answer");
	}
	_exit(0);
}

/* ---- here ---- */

static void spawn_peer(int in, int out, int memory)
{
	char *argv[] = {"prog_system_calls", "peer", NULL};
	char *none[] = {NULL}; /* above all no LD_PRELOAD */
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, memory, 3);
	errno = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, none);
	must(!errno, "posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
}

void peer_start(void)
{
	int memory = memfd_create("shared", MFD_CLOEXEC), to[2] = {-1, -1}, from[2] = {-1, -1};

	must(memory >= 0 && !ftruncate(memory, PIECE_BYTES), "memfd_create");
	must(!pipe2(to, O_CLOEXEC) && !pipe2(from, O_CLOEXEC), "pipe");
	shared = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	must(shared != MAP_FAILED, "mmap");
	/* None of them is 3 or below any more when the others are put there. */
	memory = fcntl(memory, F_DUPFD_CLOEXEC, 10);
	spawn_peer(to[0], from[1], memory);
	close(to[0]);
	close(from[1]);
	commands = to[1];
	answers = from[0];
}

static int64_t ask(enum deed deed, const struct piece *piece)
{
	struct request request = {deed, getpid(), (uintptr_t)piece->at, piece->len};
	struct answer answer;

	must(write(commands, &request, sizeof(request)) == sizeof(request), "a request");
	must(read(answers, &answer, sizeof(answer)) == sizeof(answer), "an answer");
	return answer.result;
}

static void must_be_all(int64_t result, const struct piece *piece, const char *what)
{
	if (result < 0)
		errno = (int)-result;
	must(result == (int64_t)piece->len, what);
}

int way_vm_read(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();

		memset(shared, 0, PIECE_BYTES);
		must_be_all(ask(VM_READ, &piece), &piece, "process_vm_readv");
		piece_must_be(&piece, shared);
	}
	return 0;
}

int way_vm_write(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();

		memcpy(shared, news(piece.len), piece.len);
		must_be_all(ask(VM_WRITE, &piece), &piece, "process_vm_writev");
		piece_must_have(&piece, shared);
	}
	return 0;
}

/* From here to here: both are out. */
int way_vm_self(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		struct piece from = piece_out(), to;
		struct iovec here, there;

		do
			to = piece_out();
		while (to.len < from.len ||
		       (to.at < from.at + PIECE_BYTES && from.at < to.at + PIECE_BYTES));
		to.len = from.len;
		here = (struct iovec){to.at, to.len};
		there = (struct iovec){from.at, from.len};
		must_be_all(process_vm_readv(getpid(), &here, 1, &there, 1, 0), &to,
			    "process_vm_readv of its own");
		piece_must_have(&to, from.holds);
	}
	return 0;
}

/* ---- what cannot wait for a page that is out ---- */

/*
 * The kernel fails then, and says so. Never may it give zeros for right, or write what is lost when
 * the page comes back. A page that is there it reads and writes.
 */
static int try_both(enum deed reads, enum deed writes, size_t len)
{
	int64_t result;
	int err = 0;

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out_struct(len);

		memset(shared, 0, len);
		result = ask(reads, &piece);
		if (result < 0) {
			errno = (int)-result;
			must(errno == EIO, "an error of reading");
			err = -EIO;
		} else {
			must_be_all(result, &piece, "a part");
			piece_must_be(&piece, shared);
		}
		memcpy(shared, news(len), len);
		result = ask(writes, &piece);
		if (result < 0)
			memcpy(shared, piece.holds, len);
		else
			must_be_all(result, &piece, "a part");
		piece_must_have(&piece, shared);
		/* It is here now. */
		memcpy(shared, news(len), len);
		must_be_all(ask(writes, &piece), &piece, "writing of what is here");
		piece_must_have(&piece, shared);
		memset(shared, 0, len);
		must_be_all(ask(reads, &piece), &piece, "reading of what is here");
		piece_must_be(&piece, shared);
	}
	return err;
}

int way_proc_mem(void)
{
	return try_both(MEM_READ, MEM_WRITE, 100);
}

int way_ptrace(void)
{
	return try_both(PEEK, POKE, sizeof(long));
}
