/* See stress.h. */
#include "tests/integration/stress.h"

#include "common/base/clock.h"
#include "tests/integration/give_up.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PROCESSES 16u
#define MAX_THREADS 64u
#define CLOCK_EVERY 16u /* steps between looks at the clock */

__thread struct worker *stress_self;

static uint64_t seed, end_ns;
static size_t mib;
static unsigned processes = 2, threads = 2;
static struct worker *workers; /* of this process */
static pthread_t handles[MAX_THREADS];

static void say_where(void)
{
	const struct worker *self = stress_self;

	fprintf(stderr, "seed %llu, pid %d: ", (unsigned long long)seed, getpid());
	if (self)
		fprintf(stderr, "process %u, thread %u, fork %u, step %llu (%s): ", self->process,
			self->number, self->depth, (unsigned long long)self->step, self->operation);
}

void stress_fail(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	give_up("%s", text);
}

void stress_must(bool is_so, const char *what)
{
	if (!is_so)
		give_up("%s: %s", what, strerror(errno));
}

/* ---- the mix: shares are a guess; mostly reads and writes, so that memory leaves and comes ----
 */

static const struct operation *const kinds[] = {stress_plain, stress_map, stress_advice,
						stress_kernel, stress_process};

static unsigned all_shares(void)
{
	unsigned sum = 0;

	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++)
		for (const struct operation *one = kinds[kind]; one->run; one++)
			sum += one->share;
	return sum;
}

static const struct operation *pick(size_t share)
{
	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		for (const struct operation *one = kinds[kind]; one->run; one++) {
			if (share < one->share)
				return one;
			share -= one->share;
		}
	}
	return &kinds[0][0];
}

void stress_step(struct worker *worker)
{
	const struct operation *one = pick(stress_below(worker, all_shares()));

	worker->step++;
	worker->operation = one->name;
	one->run(worker);
}

/* ---- workers and processes ---- */

static void *work(void *arg)
{
	struct worker *worker = arg;

	stress_self = worker;
	stress_open(worker);
	while (worker->step % CLOCK_EVERY || clock_ns() < end_ns)
		stress_step(worker);
	worker->operation = "at the end";
	stress_wait(worker);
	areas_look(worker);
	return NULL;
}

static void start_worker(unsigned process, unsigned number)
{
	struct worker *worker = &workers[number];

	worker->process = process;
	worker->number = number;
	worker->id = (process + 1) * 1000 + number;
	worker->random = (seed * 64 + process * 8 + number + 1) * 0x9e3779b97f4a7c15u;
	worker->forks_seldom = seed % 2;
	worker->max_pages = (mib << 20) / PAGE_BYTES / processes / threads;
	if (pthread_create(&handles[number], NULL, work, worker))
		give_up("no thread");
}

static void run_process(unsigned process)
{
	uint64_t steps = 0, checks = 0, forks = 0, refused = 0, not_started = 0;

	workers = calloc(threads, sizeof(*workers));
	stress_must(workers, "calloc");
	for (unsigned i = 0; i < threads; i++)
		start_worker(process, i);
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(handles[i], NULL);
		steps += workers[i].step;
		checks += workers[i].checks;
		forks += workers[i].forks;
		refused += workers[i].refused;
		not_started += workers[i].not_started;
	}
	printf("process %u: %llu steps, %llu pages and blocks right, %llu forks, %llu programs not "
	       "started, %llu refused\n",
	       process, (unsigned long long)steps, (unsigned long long)checks,
	       (unsigned long long)forks, (unsigned long long)not_started,
	       (unsigned long long)refused);
	fflush(stdout);
}

/* The first process is the one that was started. */
static void run_all(void)
{
	pid_t others[MAX_PROCESSES] = {0};
	int status;

	for (unsigned i = 1; i < processes; i++) {
		others[i] = fork();
		stress_must(others[i] >= 0, "fork");
		if (others[i] == 0) {
			run_process(i);
			exit(0);
		}
	}
	run_process(0);
	for (unsigned i = 1; i < processes; i++)
		if (waitpid(others[i], &status, 0) != others[i] || status)
			give_up("process %u ended with wait status %#x", i, (unsigned)status);
}

static unsigned number_of(const char *text, unsigned max)
{
	unsigned long number = strtoul(text, NULL, 10);

	if (!number || number > max)
		give_up("%s is none, or more than %u", text, max);
	return (unsigned)number;
}

int main(int argc, char **argv)
{
	give_up_first = say_where;
	if (argc != 4 && argc != 6)
		give_up("usage: prog_stress MIB SECONDS SEED [PROCESSES THREADS]");
	mib = number_of(argv[1], 1u << 20);
	end_ns = clock_ns() + number_of(argv[2], 1u << 20) * UINT64_C(1000000000);
	seed = strtoull(argv[3], NULL, 10);
	if (argc == 6) {
		processes = number_of(argv[4], MAX_PROCESSES);
		threads = number_of(argv[5], MAX_THREADS);
	}
	stress_catch_faults();
	run_all();
	return 0;
}
