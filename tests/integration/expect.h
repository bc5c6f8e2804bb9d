/*
 * Memory that must not be there: who reads it gets SIGSEGV, as where nothing is mapped
 * (SEGV_MAPERR). For programs of one file, and one thread.
 */
#ifndef TESTS_INTEGRATION_EXPECT_H
#define TESTS_INTEGRATION_EXPECT_H

#include "tests/integration/ways.h"

#include <setjmp.h>
#include <signal.h>

static sigjmp_buf expect_back;
static void *volatile expect_address;

static inline void expect_on_fault(int number, siginfo_t *info, void *context UNUSED)
{
	expect_address = info->si_code == SEGV_MAPERR ? info->si_addr : NULL;
	siglongjmp(expect_back, number);
}

static inline void expect_unmapped(const uint64_t *at)
{
	struct sigaction action = {.sa_sigaction = expect_on_fault, .sa_flags = SA_SIGINFO}, old;

	must(sigaction(SIGSEGV, &action, &old) == 0, "sigaction");
	if (sigsetjmp(expect_back, 1) == 0)
		give_up("%p can be read: %#llx", (const void *)at,
			(unsigned long long)*(const volatile uint64_t *)at);
	if (expect_address != at)
		give_up("a fault at %p, not %p", expect_address, (const void *)at);
	must(sigaction(SIGSEGV, &old, NULL) == 0, "sigaction");
}

#endif
