/* How much of the engine is in memory, in a program that has locked all of its own. */
#ifndef TESTS_INTEGRATION_RESIDENT_H
#define TESTS_INTEGRATION_RESIDENT_H

#include "tests/integration/give_up.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ENGINE_MAX_KIB (64u << 10)

/* KiB of what is mapped here under such a name and in memory. */
static inline uint64_t resident_kib(const char *name)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	uint64_t kib = 0, one;
	bool counts = false;
	char line[512];

	if (!file)
		give_up("smaps: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			counts = strstr(line, name) != NULL;
		else if (counts && sscanf(line, "Rss: %" SCNu64, &one) == 1)
			kib += one;
	}
	fclose(file);
	return kib;
}

/* Its tables are large, and empty for the most part: they are not to be filled. */
static inline void engine_is_small(void)
{
	uint64_t kib = resident_kib("memfd:libpager");

	if (kib > ENGINE_MAX_KIB)
		give_up("%" PRIu64 " KiB of the engine are in memory", kib);
}

#endif
