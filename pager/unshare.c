#include "pager/unshare.h"

#include "pager/engine.h"

#include <sys/mman.h>

void unshare_note(struct unshare *unshare, uint64_t address)
{
	if (unshare->count < UNSHARE_PAGES)
		unshare->pages[unshare->count++] = address;
}

static bool is_resident(struct engine *engine, uint64_t address)
{
	const struct page *page;
	bool resident;

	engine_lock_last(engine);
	page = page_find(engine->table, address);
	resident = page && page->state == PAGE_RESIDENT;
	engine_unlock(engine);
	return resident;
}

/*
 * Not under the lock: the page may be gone by now, and then this is a fault like any other. But
 * what the fault thread has noted a while ago may be something else entirely.
 */
void unshare_all(struct engine *engine, struct unshare *unshare)
{
	for (uint32_t i = 0; i < unshare->count; i++)
		if (is_resident(engine, unshare->pages[i]))
			(void)madvise((void *)(uintptr_t)unshare->pages[i], PAGE_BYTES,
				      MADV_POPULATE_WRITE);
	unshare->count = 0;
}
