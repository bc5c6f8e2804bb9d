/* Memory of malloc(3), threads that come and go, and processes. */
#include "tests/integration/children.h"
#include "tests/integration/stress.h"

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_MAX_WORDS (64u << 10)
#define MAX_DEPTH 2u
#define CHILD_STEPS 400u
#define REFUSED_TO_START 125 /* no donor over the only transport that is allowed */

/* ---- malloc ---- */

static void block_fill(struct worker *worker, struct block *block)
{
	block->number = stress_number(worker);
	for (size_t i = 0; i < block->words; i++)
		block->at[i] = stress_word(block->number, i);
}

static void block_look(struct worker *worker, const struct block *block, size_t words)
{
	for (size_t i = 0; i < words; i++)
		if (UNLIKELY(block->at[i] != stress_word(block->number, i)))
			stress_fail("malloc: word %zu of %zu at %p is %#llx", i, words,
				    (const void *)block->at, (unsigned long long)block->at[i]);
	worker->checks++;
}

static void use_heap(struct worker *worker)
{
	struct block *block = &worker->blocks[stress_below(worker, STRESS_BLOCKS)];
	size_t words = stress_size(worker, BLOCK_MAX_WORDS), kept;

	if (!block->at) {
		block->at = malloc(words * sizeof(block->at[0]));
		stress_must(block->at, "malloc");
		block->words = words;
		block_fill(worker, block);
		return;
	}
	block_look(worker, block, block->words);
	if (stress_one_in(worker, 2)) {
		free(block->at);
		block->at = NULL;
		return;
	}
	kept = words < block->words ? words : block->words;
	block->at = realloc(block->at, words * sizeof(block->at[0]));
	stress_must(block->at, "realloc");
	block->words = words;
	block_look(worker, block, kept);
	block_fill(worker, block);
}

/* ---- threads ---- */

#define THREAD_PAGES 48u

static void *use_stack(void *arg)
{
	volatile uint64_t words[THREAD_PAGES * STRESS_WORDS];
	uint64_t number = *(const uint64_t *)arg;

	for (size_t i = 0; i < ARRAY_LEN(words); i += 7)
		words[i] = stress_word(number, i);
	sched_yield();
	for (size_t i = 0; i < ARRAY_LEN(words); i += 7)
		if (words[i] != stress_word(number, i))
			stress_fail("word %zu of a thread's stack is %#llx", i,
				    (unsigned long long)words[i]);
	return arg;
}

static void make_thread(struct worker *worker)
{
	uint64_t number = stress_number(worker);
	pthread_t thread;
	void *got = NULL;

	stress_must(pthread_create(&thread, NULL, use_stack, &number) == 0, "pthread_create");
	stress_must(pthread_join(thread, &got) == 0, "pthread_join");
	stress_must(got == &number, "a thread returned something else");
}

/* ---- processes ---- */

void stress_wait(struct worker *worker)
{
	pid_t child = worker->child;
	int status;

	if (!child)
		return;
	worker->child = 0;
	stress_must(waitpid(child, &status, 0) == child, "waitpid");
	if (worker->is_program && WIFEXITED(status) && WEXITSTATUS(status) == REFUSED_TO_START)
		worker->not_started++;
	else if (status)
		stress_fail("child %d ended with wait status %#x", child, (unsigned)status);
}

/* Alone in its process now; what the other threads had is nobody's. */
static NORETURN void live_as_child(struct worker *worker)
{
	worker->child = 0;
	worker->depth++;
	worker->id = (worker->id * 2654435761u + (uint32_t)worker->forks) >> 1;
	areas_look(worker);
	stress_open(worker);
	for (unsigned i = 0; i < CHILD_STEPS; i++)
		stress_step(worker);
	stress_wait(worker);
	areas_look(worker);
	_exit(0);
}

static bool may_fork(struct worker *worker)
{
	return worker->depth < MAX_DEPTH && !(worker->forks_seldom && !stress_one_in(worker, 16));
}

/* Parent and child go on; the parent waits for it before the next one. */
static void fork_and_go_on(struct worker *worker)
{
	pid_t pid;

	if (!may_fork(worker))
		return;
	stress_wait(worker);
	pid = fork();
	if (pid < 0 && (errno == ENOMEM || errno == EAGAIN))
		return; /* refused, which is said in the log */
	stress_must(pid >= 0, "fork");
	if (pid == 0)
		live_as_child(worker);
	worker->child = pid;
	worker->is_program = false;
	worker->forks++;
}

/* Other threads may have held the C library's locks: nothing here may want them. */
static void clone_and_look(struct worker *worker)
{
	pid_t pid;

	if (!may_fork(worker) || geteuid() != 0) /* whom forks are not reported to */
		return;
	stress_wait(worker);
	pid = clone_plain();
	stress_must(pid >= 0, "clone");
	if (pid == 0) {
		areas_look(worker);
		_exit(0);
	}
	worker->child = pid;
	worker->is_program = false;
	worker->forks++;
}

static void spawn(struct worker *worker)
{
	char *argv[] = {"true", NULL};
	pid_t pid;
	int err;

	stress_wait(worker);
	err = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);
	if (err == EAGAIN || err == ENOMEM)
		return;
	stress_must(err == 0, "posix_spawn");
	worker->child = pid;
	worker->is_program = true;
}

const struct operation stress_process[] = {
	{"use the heap", use_heap, 60},
	{"make a thread", make_thread, 8},
	{"fork", fork_and_go_on, 2},
	{"clone", clone_and_look, 1},
	{"spawn", spawn, 1},
	{NULL, NULL, 0},
};
