/*
 * What the floors are made of: memory with a userfaultfd on it, a thread kept to one CPU, and the
 * line in which a result is printed. What fails here ends the program with a line. For bench_floor.
 */
#ifndef TESTS_BENCH_FLOOR_PARTS_H
#define TESTS_BENCH_FLOOR_PARTS_H

#include "common/base/compiler.h"
#include "common/base/hist.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define FLOOR_SEED 1 /* of the content of all pages */

/* Ends the program, with errno's meaning. Async-signal-safe enough for who ends anyway. */
NORETURN void floor_fail(const char *what);

/* The calling thread, and those it makes from now on. */
void floor_pin(unsigned cpu);
void floor_unpin(void);

/* Private memory in pages of 4 KiB; to be unmapped by the caller. */
uint8_t *floor_map(uint64_t pages);

/* A userfaultfd with these features (UFFD_FEATURE_…) and O_ flags, which the caller closes. */
int floor_uffd(uint64_t features, int flags) MUST_CHECK;
void floor_register(int uffd, uint8_t *base, uint64_t pages);

/* UFFDIO_COPY, which wakes who waits for these pages. Async-signal-safe. */
void floor_place(int uffd, uint8_t *to, const void *from, unsigned pages);

void floor_on_sigbus(void (*handler)(int, siginfo_t *, void *));

static inline void floor_touch(const uint8_t *address)
{
	(void)__atomic_load_n((const volatile uint64_t *)address, __ATOMIC_RELAXED);
}

/* `slow` may be NULL. */
struct floor_result {
	const char *name, *order;
	unsigned threads;
	double ns_per_op;
	const struct hist *all, *slow;
};

/* One JSON line; `more` is printed as it is before its end, and begins with a comma if anything. */
void floor_print(const struct floor_result *result, const char *more);

#endif
