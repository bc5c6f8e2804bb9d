#include "pager/strays.h"

#include "pager/engine.h"
#include "pager/pagemap.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

/* Whether a page is anything but zeros: one of these is the same when it is made anew. */
static bool is_something(const void *page)
{
	const char *bytes = page;

	return bytes[0] || memcmp(bytes, bytes + 1, PAGE_BYTES - 1) != 0;
}

static bool is_mapped(uint64_t address)
{
	return msync((void *)(uintptr_t)address, PAGE_BYTES, MS_ASYNC) == 0;
}

/* Unmapped meanwhile (-ENOENT) it is not wanted any more. */
static void put_back(struct engine *engine, uint64_t to, uint64_t from)
{
	const void *page = (const void *)(uintptr_t)from;
	uint64_t done;
	int err;

	while ((err = uffd_copy(engine->uffd, to, page, PAGE_BYTES, &done)) == -EAGAIN)
		sched_yield();
	if (err && err != -ENOENT && (err != -EEXIST || is_something(page)))
		engine_end(engine,
			   "a mapping was replaced while its pages were taken out, and used, at",
			   to);
}

/* Pages of a file, or of shared memory, come from there again. */
static void send_run_home(struct engine *engine, uint32_t first, uint32_t n,
			  const uint64_t *entries)
{
	uint64_t offset = (uint64_t)first << PAGE_SHIFT, bytes = (uint64_t)n << PAGE_SHIFT;
	uint64_t to = engine->remap.source + offset;
	uint64_t from = stage_address(&engine->stage, engine->remap.place) + offset;
	bool registered = uffd_register(engine->uffd, to, bytes, false) == 0;

	(void)mprotect((void *)(uintptr_t)from, bytes, PROT_READ);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = to + i * PAGE_BYTES;

		if (pagemap_is_of_file(entries[first + i]))
			continue;
		if (registered)
			put_back(engine, at, from + i * PAGE_BYTES);
		else if (is_mapped(at))
			engine_end(engine,
				   "a mapping was replaced while its pages were taken out, and "
				   "cannot be put back, at",
				   at);
	}
	if (registered)
		(void)!uffd_unregister(engine->uffd, to, bytes); /* unless it is gone */
}

bool strays_send_home(struct engine *engine)
{
	const struct remap *remap = &engine->remap;
	uint64_t entries[REMAP_MAX_PAGES];
	bool any = false;

	if (pagemap_read(engine->pagemap_fd, stage_address(&engine->stage, remap->place),
			 remap->pages, entries) < remap->pages) {
		engine_end(engine, "/proc/self/pagemap cannot be read, for", remap->source);
		return true;
	}
	for (uint32_t i = 0, n; i < remap->pages; i += n) {
		bool has_come = pagemap_is_there(entries[i]);

		for (n = 1; i + n < remap->pages && pagemap_is_there(entries[i + n]) == has_come;
		     n++)
			;
		if (has_come)
			send_run_home(engine, i, n, entries);
		any = any || has_come;
	}
	return any;
}
