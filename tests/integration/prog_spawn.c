/*
 * What libpager costs at the start of a program that stays small: runs a command many times, in
 * turn as it is and with the library preloaded, and prints the medians of both and their difference
 * in µs.
 *
 *   prog_spawn TIMES LIBRARY COMMAND ARG...
 *
 * In turn, so that what else the machine does falls on both alike. Other variables
 * (LIBPAGER_LOCAL…) are the caller's.
 */
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "tests/integration/children.h"
#include "tests/integration/give_up.h"

#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t run_once(char *const argv[])
{
	uint64_t begun = clock_ns();
	pid_t pid;
	int err;

	err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (err)
		give_up("%s: %s", argv[0], strerror(err));
	child_await(pid, argv[0]);
	return clock_ns() - begun;
}

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static uint64_t median_us(uint64_t *times, size_t n)
{
	qsort(times, n, sizeof(*times), by_value);
	return times[n / 2] / 1000;
}

int main(int argc, char **argv)
{
	uint64_t *without, *with;
	uint64_t a, b;
	size_t times;
	size_t i;

	if (argc < 4)
		give_up("usage: prog_spawn TIMES LIBRARY COMMAND ARG...");
	times = strtoul(argv[1], NULL, 10);
	without = calloc(times, sizeof(*without));
	with = calloc(times, sizeof(*with));
	if (!times || !without || !with)
		give_up("no times");
	for (i = 0; i < times; i++) {
		unsetenv("LD_PRELOAD");
		without[i] = run_once(argv + 3);
		setenv("LD_PRELOAD", argv[2], 1);
		with[i] = run_once(argv + 3);
	}
	a = median_us(without, times);
	b = median_us(with, times);
	printf("%llu %llu %lld\n", (unsigned long long)a, (unsigned long long)b,
	       (long long)b - (long long)a);
	return 0;
}
