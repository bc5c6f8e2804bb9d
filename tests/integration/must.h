/* What a test program cannot go on without: it gives up where that fails, and says why. */
#ifndef TESTS_INTEGRATION_MUST_H
#define TESTS_INTEGRATION_MUST_H

#include "common/base/compiler.h"
#include "tests/integration/give_up.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

static inline void must(bool is_so, const char *what)
{
	if (!is_so)
		give_up("%s: %s", what, strerror(errno));
}

/* Private memory that can be read and written: there or not at all; anywhere with NULL. */
static inline void *map_at(void *at, size_t pages, int flags)
{
	void *got = mmap(at, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	must(got != MAP_FAILED && (!at || got == at), "mmap");
	return got;
}

static inline void pages_free(const void *at, size_t pages)
{
	must(munmap((void *)(uintptr_t)at, pages * PAGE_BYTES) == 0, "munmap");
}

#endif
