/* The kernel reads and writes pages that may be out. */
#include "tests/integration/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_PAGES 64u
#define IO_PAGES 16u /* at once */

void stress_open(struct worker *worker)
{
	int old[] = {worker->pipe_fds[0], worker->pipe_fds[1], worker->socket_fds[0],
		     worker->socket_fds[1], worker->file_fd};

	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		if (old[i] > 0)
			close(old[i]);
	stress_must(pipe2(worker->pipe_fds, O_CLOEXEC) == 0, "pipe2");
	stress_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, worker->socket_fds) == 0,
		    "socketpair");
	worker->file_fd = memfd_create("stress", MFD_CLOEXEC);
	stress_must(worker->file_fd >= 0, "memfd_create");
	stress_must(ftruncate(worker->file_fd, FILE_PAGES * PAGE_BYTES) == 0, "ftruncate");
}

/* What was freed may change at any moment: it is written first. */
static struct run pick_settled(struct worker *worker, size_t max)
{
	struct run run = run_pick(worker, max);

	for (size_t page = run.first; page < run.first + run.pages; page++)
		if (run.area->shadow[page] & STRESS_FREED)
			page_put(worker, run.area, page);
	return run;
}

/* Calls on pipes, files and sockets move all that they are asked to. */
static void must_move(ssize_t got, size_t bytes, const char *what)
{
	stress_must(got == (ssize_t)bytes, what);
}

/* One page at either end of one call. */
static void pass_through_pipe(struct worker *worker)
{
	struct run from = pick_settled(worker, 1);
	struct area *to = area_pick(worker);
	size_t target = page_pick(worker, to);
	struct iovec iov = {run_start(from), PAGE_BYTES};
	uint64_t copy[STRESS_WORDS];

	must_move(writev(worker->pipe_fds[1], &iov, 1), PAGE_BYTES, "writev");
	must_move(read(worker->pipe_fds[0], area_page(to, target), PAGE_BYTES), PAGE_BYTES, "read");
	to->shadow[target] = from.area->shadow[from.first];
	page_look(worker, to, target);
	must_move(write(worker->pipe_fds[1], area_page(to, target), PAGE_BYTES), PAGE_BYTES,
		  "write");
	must_move(read(worker->pipe_fds[0], copy, PAGE_BYTES), PAGE_BYTES, "read");
	page_compare(worker, from.area, from.first, copy);
}

/* A run to a file and back to another run; the two may overlap. */
static void pass_through_file(struct worker *worker)
{
	struct area *area = area_pick(worker);
	struct run from = pick_settled(worker, area->pages < IO_PAGES ? area->pages : IO_PAGES);
	struct run to = {area, stress_below(worker, area->pages - from.pages + 1), from.pages};
	off_t at = (off_t)(stress_below(worker, FILE_PAGES - from.pages + 1) * PAGE_BYTES);
	size_t bytes = from.pages * PAGE_BYTES;

	must_move(pwrite(worker->file_fd, run_start(from), bytes, at), bytes, "pwrite");
	must_move(pread(worker->file_fd, run_start(to), bytes, at), bytes, "pread");
	memmove(to.area->shadow + to.first, from.area->shadow + from.first,
		from.pages * sizeof(area->shadow[0]));
	run_look(worker, to);
}

/* In one packet that starts in mid-page. */
static void send_packet(struct worker *worker)
{
	struct run run = pick_settled(worker, 2);
	size_t off = stress_below(worker, PAGE_BYTES), bytes = run.pages * PAGE_BYTES - off;
	const char *from = (const char *)run_start(run) + off;
	char copy[2 * PAGE_BYTES];

	must_move(send(worker->socket_fds[0], from, bytes, 0), bytes, "send");
	must_move(recv(worker->socket_fds[1], copy, sizeof(copy), 0), bytes, "recv");
	run_look(worker, run);
	stress_must(memcmp(copy, from, bytes) == 0, "received what was not sent");
}

/* Another process's way to read memory, on our own. */
static void read_from_outside(struct worker *worker)
{
	const struct area *area = area_pick(worker);
	size_t page = page_pick(worker, area);
	uint64_t copy[STRESS_WORDS];
	struct iovec here = {copy, sizeof(copy)}, there = {area_page(area, page), sizeof(copy)};

	if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != (ssize_t)sizeof(copy)) {
		stress_must(errno == ENOSYS || errno == EPERM, "process_vm_readv");
		return;
	}
	page_compare(worker, area, page, copy);
}

/* ---- signals ---- */

#define SIGNAL_PAGES 16u

static volatile sig_atomic_t signals;

static void on_signal(int number UNUSED)
{
	volatile char stack[4 * PAGE_BYTES];

	for (size_t i = 0; i < sizeof(stack); i += PAGE_BYTES)
		stack[i] = (char)i;
	signals = signals + (stack[0] == 0);
}

/* The kernel writes the frame to pages that may be out. */
static void take_signal(struct worker *worker)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	stack_t stack = {.ss_size = SIGNAL_PAGES * PAGE_BYTES}, none = {.ss_flags = SS_DISABLE};
	struct area *area = area_pick(worker);
	struct run run = {area, 0, SIGNAL_PAGES};

	if (area->pages < SIGNAL_PAGES)
		return;
	run.first = stress_below(worker, area->pages - SIGNAL_PAGES + 1);
	stack.ss_sp = run_start(run);
	stress_must(sigaction(SIGUSR2, &action, NULL) == 0, "sigaction");
	stress_must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
	stress_must(raise(SIGUSR2) == 0, "raise");
	stress_must(sigaltstack(&none, NULL) == 0, "sigaltstack");
	run_put(worker, run);
}

const struct operation stress_kernel[] = {
	{"through a pipe", pass_through_pipe, 40}, {"through a file", pass_through_file, 30},
	{"send a packet", send_packet, 20},	   {"read from outside", read_from_outside, 20},
	{"take a signal", take_signal, 8},	   {NULL, NULL, 0},
};
