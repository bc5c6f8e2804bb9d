/*
 * Fills memory with a pattern, waits until most of it is out, and lets the kernel read from, write
 * to and wait on what is out, in every way there is, while another thread keeps it leaving. Every
 * byte must be as without libpager. Ends with 0 and one line for each way.
 *
 *   prog_system_calls MIB ROUNDS DIRECTORY [WAY...]
 *
 * DIRECTORY is for files. Without WAY: all. A way that this system does not do is said to be
 * refused; a wrong byte is not refused.
 */
#include "tests/integration/system_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(void);
} ways[] = {
	{"read", way_read},
	{"readv", way_readv},
	{"pread", way_pread},
	{"write", way_write},
	{"writev", way_writev},
	{"pwrite", way_pwrite},
	{"direct_read", way_direct_read},
	{"direct_write", way_direct_write},
	{"paths", way_paths},
	{"send", way_send},
	{"sendmsg", way_sendmsg},
	{"sendfile", way_sendfile},
	{"splice", way_splice},
	{"vmsplice", way_vmsplice},
	{"tee", way_tee},
	{"ring_read", way_ring_read},
	{"ring_write", way_ring_write},
	{"ring_fixed", way_ring_fixed},
	{"results", way_results},
	{"directory", way_directory},
	{"random", way_random},
	{"poll", way_poll},
	{"advice", way_advice},
	{"arguments", way_arguments},
	{"futex", way_futex},
	{"futex_op", way_futex_op},
	{"futex_pi", way_futex_pi},
	{"mutex", way_mutex},
	{"robust", way_robust},
	{"idle_thread", way_idle_thread},
	{"thread_end", way_thread_end},
	{"signal_stack", way_signal_stack},
	{"signal_frame", way_signal_frame},
	{"thread_stack", way_thread_stack},
	{"signal_storm", way_signal_storm},
	{"vm_read", way_vm_read},
	{"vm_write", way_vm_write},
	{"vm_self", way_vm_self},
	{"proc_mem", way_proc_mem},
	{"ptrace", way_ptrace},
};

static void run(size_t i)
{
	size_t out;
	int err;

	way_begin(ways[i].name);
	err = ways[i].run();
	way_end(&out);
	if (err)
		printf("%s refused, %zu pages were out: %s\n", ways[i].name, out, strerror(-err));
	else
		printf("%s right, %zu pages were out\n", ways[i].name, out);
	fflush(stdout);
}

static void run_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (strcmp(ways[i].name, name) == 0) {
			run(i);
			return;
		}
	}
	fprintf(stderr, "prog_system_calls: %s is no way\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "peer") == 0)
		peer_main();
	if (argc < 4) {
		fprintf(stderr, "usage: prog_system_calls MIB ROUNDS DIRECTORY [WAY...]\n");
		return 2;
	}
	rounds = (unsigned)strtoul(argv[2], NULL, 10);
	directory = argv[3];
	peer_start();
	memory_make(strtoull(argv[1], NULL, 10));
	for (size_t i = 0; argc == 4 && i < ARRAY_LEN(ways); i++)
		run(i);
	for (int i = 4; i < argc; i++)
		run_named(argv[i]);
	/* Threads that never end are still there. */
	fflush(stdout);
	_Exit(0);
}
