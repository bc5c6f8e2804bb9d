/* The counter behind FAULT_POINT(): linked into the fault programs and into nothing else. */
#include "common/base/fault_point.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic unsigned long passed;

static unsigned long fail_at(void)
{
	const char *text = getenv("LIBPAGER_FAIL_AT");

	return text ? strtoul(text, NULL, 10) : 0;
}

bool fault_point_fails(const char *where)
{
	unsigned long n = atomic_fetch_add(&passed, 1) + 1;

	if (n != fail_at())
		return false;
	dprintf(STDERR_FILENO, "fault point %lu: %s\n", n, where);
	return true;
}
