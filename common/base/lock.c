#include "common/base/lock.h"

#include "common/base/clock.h"
#include "common/base/spin.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FREE, HELD, CONTENDED };

/*
 * How often to look before sleeping. A guess: what our locks guard takes well under a microsecond,
 * a sleep and its wake-up take ten.
 */
#define SPINS 100

#define NS_PER_S 1000000000u

/* Keeps errno: locks are taken inside functions that the host program believes to be libc's. */
static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	int saved_errno = errno;

	(void)syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
	errno = saved_errno;
}

void futex_sleep(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns)
{
	const struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S),
	};

	futex(word, FUTEX_WAIT, seen, timeout_ns ? &timeout : NULL);
}

void futex_wake_all(_Atomic uint32_t *word)
{
	futex(word, FUTEX_WAKE, INT_MAX, NULL);
}

bool futex_sleep_until(_Atomic uint32_t *word, uint32_t seen, uint64_t end_ns)
{
	uint64_t now = clock_ns();

	if (now >= end_ns)
		return false;
	futex_sleep(word, seen, end_ns - now);
	return true;
}

uint32_t futex_await(_Atomic uint32_t *word, uint32_t seen, uint64_t patience_ns)
{
	uint64_t end_ns = clock_ns() + patience_ns;
	uint32_t now;

	while ((now = atomic_load(word)) == seen && futex_sleep_until(word, seen, end_ns))
		;
	return now;
}

void futex_ring(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	futex_wake_all(word);
}

/* Takes the lock if it becomes free while nobody sleeps for it. */
static int spin_for(struct lock *lock)
{
	for (int i = 0; i < SPINS; i++) {
		uint32_t seen = atomic_load_explicit(&lock->state, memory_order_relaxed);

		if (seen == CONTENDED)
			return 0;
		if (seen == FREE && atomic_compare_exchange_weak_explicit(&lock->state, &seen, HELD,
									  memory_order_acquire,
									  memory_order_relaxed))
			return 1;
		spin_pause();
	}
	return 0;
}

void lock_wait(struct lock *lock)
{
	if (spin_for(lock))
		return;
	/* Whoever slept takes the lock as contended: it cannot know whether others still sleep. */
	while (atomic_exchange_explicit(&lock->state, CONTENDED, memory_order_acquire) != FREE)
		futex_sleep(&lock->state, CONTENDED, 0);
}

void lock_wake(struct lock *lock)
{
	futex(&lock->state, FUTEX_WAKE, 1, NULL);
}
