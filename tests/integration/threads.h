/* What programs with many threads have in common: see ways.h. */
#ifndef TESTS_INTEGRATION_THREADS_H
#define TESTS_INTEGRATION_THREADS_H

#include "tests/integration/must.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

#define THREAD_STACK_BYTES (512u << 10)

static inline void must_be_zero(int err, const char *what)
{
	errno = err;
	must(err == 0, what);
}

static inline pthread_t thread_new(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	must_be_zero(pthread_attr_init(&attr), "pthread_attr_init");
	must_be_zero(pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES),
		     "pthread_attr_setstacksize");
	must_be_zero(pthread_create(&thread, &attr, run, arg), "pthread_create");
	pthread_attr_destroy(&attr);
	return thread;
}

static inline void *thread_end(pthread_t thread)
{
	void *result;

	must_be_zero(pthread_join(thread, &result), "pthread_join");
	return result;
}

static inline uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

#endif
