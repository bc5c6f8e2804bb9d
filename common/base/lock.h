/*
 * A mutex of our own on futex(2), because libpager lives in programs that replace
 * pthread_mutex_lock (profilers, sanitizers) and because the fault path must not run their code.
 * Not recursive, not fair, spins shortly before it sleeps. May live in memory shared by the threads
 * of one process. The three states are those of "Futexes Are Tricky" (Drepper, 2011), mutex 3.
 */
#ifndef COMMON_BASE_LOCK_H
#define COMMON_BASE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
	_Atomic uint32_t state; /* 0 free, 1 held, 2 held and somebody sleeps */
};

void lock_wait(struct lock *lock);
void lock_wake(struct lock *lock);

/* Takes the lock if it is free; whether it was. */
static inline bool lock_try(struct lock *lock)
{
	uint32_t free = 0;

	return atomic_compare_exchange_strong_explicit(&lock->state, &free, 1, memory_order_acquire,
						       memory_order_relaxed);
}

static inline void lock_acquire(struct lock *lock)
{
	if (!lock_try(lock))
		lock_wait(lock);
}

static inline void lock_release(struct lock *lock)
{
	if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)
		lock_wake(lock);
}

/* Sleeps until *word differs from `seen`, a wake-up, or the time is over (0: for ever). */
void futex_sleep(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns);
/* The same with the end of the time, of clock_ns(). False if it is later already. */
bool futex_sleep_until(_Atomic uint32_t *word, uint32_t seen, uint64_t end_ns);
/* Sleeps while *word is `seen`, for `patience_ns` at most. Returns what it is then. */
uint32_t futex_await(_Atomic uint32_t *word, uint32_t seen, uint64_t patience_ns);
void futex_wake_all(_Atomic uint32_t *word);
/* Counts the word up and wakes all: there is news for who sleeps on what it was. */
void futex_ring(_Atomic uint32_t *word);

#endif
