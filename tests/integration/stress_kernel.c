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
static size_t pick_settled(struct worker *worker, struct area *area, size_t max, size_t *first)
{
	size_t n = run_pick(worker, area, max, first);

	for (size_t page = *first; page < *first + n; page++)
		if (area->shadow[page] & STRESS_FREED)
			page_put(worker, area, page);
	return n;
}

/* One page at either end of one call. */
static void pass_through_pipe(struct worker *worker)
{
	struct area *from = area_pick(worker), *to = area_pick(worker);
	uint64_t copy[STRESS_WORDS];
	size_t page, target;
	struct iovec iov;

	if (!from || !to)
		return;
	(void)pick_settled(worker, from, 1, &page);
	target = stress_below(worker, to->pages);
	iov = (struct iovec){area_page(from, page), PAGE_BYTES};
	stress_must(writev(worker->pipe_fds[1], &iov, 1) == (ssize_t)PAGE_BYTES, "writev");
	stress_must(read(worker->pipe_fds[0], area_page(to, target), PAGE_BYTES) ==
			    (ssize_t)PAGE_BYTES,
		    "read");
	to->shadow[target] = from->shadow[page];
	page_look(worker, to, target);
	stress_must(write(worker->pipe_fds[1], area_page(to, target), PAGE_BYTES) ==
			    (ssize_t)PAGE_BYTES,
		    "write");
	stress_must(read(worker->pipe_fds[0], copy, PAGE_BYTES) == (ssize_t)PAGE_BYTES, "read");
	page_compare(worker, from, page, copy);
}

/* A run to a file and back to another run. */
static void pass_through_file(struct worker *worker)
{
	struct area *from = area_pick(worker), *to = area_pick(worker);
	size_t first, target, n;
	off_t at;

	if (!from || !to)
		return;
	n = pick_settled(worker, from, to->pages < STRESS_IO_PAGES ? to->pages : STRESS_IO_PAGES,
			 &first);
	target = stress_below(worker, to->pages - n + 1);
	at = (off_t)(stress_below(worker, FILE_PAGES - n + 1) * PAGE_BYTES);
	stress_must(pwrite(worker->file_fd, area_page(from, first), n * PAGE_BYTES, at) ==
			    (ssize_t)(n * PAGE_BYTES),
		    "pwrite");
	stress_must(pread(worker->file_fd, area_page(to, target), n * PAGE_BYTES, at) ==
			    (ssize_t)(n * PAGE_BYTES),
		    "pread");
	if (to == from) { /* they may overlap: what was written was the old content */
		uint64_t shadow[STRESS_IO_PAGES];

		memcpy(shadow, from->shadow + first, n * sizeof(shadow[0]));
		memcpy(to->shadow + target, shadow, n * sizeof(shadow[0]));
	} else {
		memcpy(to->shadow + target, from->shadow + first, n * sizeof(to->shadow[0]));
	}
	run_look(worker, to, target, n);
}

/* In one packet that starts and ends in mid-page. */
static void send_packet(struct worker *worker)
{
	struct area *area = area_pick(worker);
	char copy[2 * PAGE_BYTES];
	size_t first, off = stress_below(worker, PAGE_BYTES), n;
	const char *from;

	if (!area)
		return;
	n = pick_settled(worker, area, 2, &first) * PAGE_BYTES - off;
	from = (const char *)area_page(area, first) + off;
	stress_must(send(worker->socket_fds[0], from, n, 0) == (ssize_t)n, "send");
	stress_must(recv(worker->socket_fds[1], copy, sizeof(copy), 0) == (ssize_t)n, "recv");
	run_look(worker, area, first, (n + off) / PAGE_BYTES);
	stress_must(memcmp(copy, from, n) == 0, "received what was not sent");
}

/* Another process's way to read memory, on our own. */
static void read_from_outside(struct worker *worker)
{
	const struct area *area = area_pick(worker);
	uint64_t copy[STRESS_WORDS];
	struct iovec here = {copy, sizeof(copy)}, there = {NULL, sizeof(copy)};
	size_t page;

	if (!area)
		return;
	page = stress_below(worker, area->pages);
	there.iov_base = area_page(area, page);
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
	struct area *area = area_pick(worker);
	stack_t stack = {.ss_size = SIGNAL_PAGES * PAGE_BYTES}, none = {.ss_flags = SS_DISABLE};
	size_t first;

	if (!area || area->pages < SIGNAL_PAGES)
		return;
	first = stress_below(worker, area->pages - SIGNAL_PAGES + 1);
	stack.ss_sp = area_page(area, first);
	stress_must(sigaction(SIGUSR2, &action, NULL) == 0, "sigaction");
	stress_must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
	stress_must(raise(SIGUSR2) == 0, "raise");
	stress_must(sigaltstack(&none, NULL) == 0, "sigaltstack");
	run_put(worker, area, first, SIGNAL_PAGES);
}

const struct operation stress_kernel[] = {
	{"through a pipe", pass_through_pipe, 40}, {"through a file", pass_through_file, 30},
	{"send a packet", send_packet, 20},	   {"read from outside", read_from_outside, 20},
	{"take a signal", take_signal, 8},	   {NULL, NULL, 0},
};
