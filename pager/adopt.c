/*
 * Everything private, anonymous, readable and writable is adopted, but for what the engine itself
 * stands on: the staging area, and the data segments of libraries (ours and the C library's among
 * them), which adjoin anonymous memory and may be one mapping with it.
 *
 * Registering makes the pages that are missing fault to us; those that are there already are found
 * in /proc/self/pagemap and enter the eviction order in the order of their addresses.
 *
 * One thing a look at the pagemap must not see: pages that the program is about to drop. The kernel
 * reports MADV_DONTNEED before it drops the pages; a page entered in between could be taken out and
 * later come back. So a look passes over what was dropped a moment ago (removed.h).
 */
#include "pager/adopt.h"

#include "common/base/clock.h"
#include "pager/maps.h"
#include "pager/own.h"
#include "pager/recall.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIN_BYTES (64u * 1024) /* smaller mappings are not worth an entry; a guess */
#define MAX_EXCLUDED 1024u
#define AGAIN_NS 1000000000u /* between looks for pages that got past us */
#define UNKNOWN_PAGES 1024u  /* so many untracked pages are worth such a look */

#define CALM_TRIES 100u	 /* for a program that changes its map all the time */
#define GROWN_PAGES 256u /* grown by mprotect(2), the address space is as large as before */

#define PRESENT ((uint64_t)1 << 63) /* Documentation/admin-guide/mm/pagemap.rst */
#define SWAPPED ((uint64_t)1 << 62)

struct adopter {
	struct engine *engine;
	char *maps;	   /* MAPS_BUFFER_BYTES */
	uint64_t *pagemap; /* PAGE_CHUNK_PAGES entries */
	struct region excluded[MAX_EXCLUDED];
	unsigned excluded_count;
	int pagemap_fd;	     /* open during a look only */
	uint64_t seen_size;  /* pages of address space at the last look */
	uint64_t seen_other; /* pages not adopted at the last look */
	uint64_t again_ns;
	uint64_t known_other; /* pages that stayed unknown after the last look */
	bool main_seen;
	bool recount;	  /* known_other is to be set at the next turn */
	bool changed;	  /* the map changed under the last look: it is worth another */
	bool passed_over; /* the last look passed over pages */
};

int adopt_open(struct engine *engine)
{
	struct adopter *adopter = own_alloc(sizeof(*adopter));

	if (!adopter)
		return -ENOMEM;
	adopter->engine = engine;
	adopter->maps = own_alloc(MAPS_BUFFER_BYTES);
	adopter->pagemap = own_alloc(PAGE_CHUNK_PAGES * sizeof(adopter->pagemap[0]));
	engine->adopter = adopter;
	return adopter->maps && adopter->pagemap ? 0 : -ENOMEM;
}

static void exclude(struct adopter *adopter, uint64_t start, uint64_t end)
{
	if (adopter->excluded_count < MAX_EXCLUDED)
		adopter->excluded[adopter->excluded_count++] = (struct region){
			start & ~(PAGE_BYTES - 1), (end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)};
}

/* dl_iterate_phdr(3) names the program first; its own variables may be adopted. */
static int exclude_library(struct dl_phdr_info *info, size_t size UNUSED, void *arg)
{
	struct adopter *adopter = arg;

	if (!adopter->main_seen) {
		adopter->main_seen = true;
		return 0;
	}
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W))
			exclude(adopter, info->dlpi_addr + segment->p_vaddr,
				info->dlpi_addr + segment->p_vaddr + segment->p_memsz);
	}
	return 0;
}

static void list_excluded(struct adopter *adopter)
{
	const struct stage *stage = &adopter->engine->stage;

	adopter->excluded_count = 0;
	adopter->main_seen = false;
	exclude(adopter, stage->base, stage->base + ((uint64_t)stage->pages << PAGE_SHIFT));
	exclude(adopter, stage->trash, stage->trash + STAGE_DROP_PAGES * PAGE_BYTES);
	dl_iterate_phdr(exclude_library, adopter);
}

/* Enters the pages of one chunk that are there and that nobody knows. */
static void look_at_chunk(struct adopter *adopter, uint64_t start, uint64_t end)
{
	struct engine *engine = adopter->engine;
	size_t n = (end - start) >> PAGE_SHIFT;
	uint64_t now = clock_ns();
	bool careful;
	ssize_t got;

	lock_acquire(&engine->map_lock);
	careful = removed_touches(&engine->removed, start, end, now);
	got = pread(adopter->pagemap_fd, adopter->pagemap, n * sizeof(uint64_t),
		    (off_t)((start >> PAGE_SHIFT) * sizeof(uint64_t)));
	for (size_t i = 0; got > 0 && i < (size_t)got / sizeof(uint64_t); i++) {
		uint64_t address = start + i * PAGE_BYTES;
		struct page *page;

		if (!(adopter->pagemap[i] & (PRESENT | SWAPPED)) ||
		    !regions_contain(&engine->regions, address))
			continue;
		if (careful &&
		    removed_touches(&engine->removed, address, address + PAGE_BYTES, now)) {
			adopter->passed_over = true;
			continue;
		}
		page = page_get(engine->table, address);
		if (!page || page->state != PAGE_NONE)
			continue;
		page_set(engine->table, page, PAGE_RESIDENT);
		engine_queue(engine, page);
	}
	lock_release(&engine->map_lock);
}

static void look_at(struct adopter *adopter, uint64_t start, uint64_t end)
{
	uint64_t at, next;

	if (adopter->pagemap_fd < 0)
		return;
	for (at = start; at < end; at = next) {
		next = (at + PAGE_CHUNK_BYTES) & ~(PAGE_CHUNK_BYTES - 1);
		look_at_chunk(adopter, at, next < end ? next : end);
		engine_wake_take(adopter->engine);
	}
}

/* Whether something is mapped at every address: mincore(2) says ENOMEM for a hole. */
static bool is_whole(struct adopter *adopter, uint64_t start, uint64_t end)
{
	for (uint64_t next; start < end; start = next) {
		next = start + PAGE_CHUNK_BYTES < end ? start + PAGE_CHUNK_BYTES : end;
		if (mincore((void *)(uintptr_t)start, next - start, (void *)adopter->pagemap))
			return false;
	}
	return true;
}

/*
 * Registers a range and enters it, in one hold of the lock: an unmapping in between would be read
 * before there was anything to take out of the books. Not while the map is changing: something may
 * just have been moved there, whose event comes later.
 */
static int register_range(struct adopter *adopter, uint64_t start, uint64_t end)
{
	struct engine *engine = adopter->engine;
	int err = -EAGAIN;

	lock_acquire(&engine->map_lock);
	if (!uffd_is_changing(engine->uffd, engine->stage.base))
		err = uffd_register(engine->uffd, start, end - start);
	if (!err &&
	    (!is_whole(adopter, start, end) || uffd_is_changing(engine->uffd, engine->stage.base)))
		err = -EAGAIN;
	if (!err)
		err = regions_add(&engine->regions, start, end);
	lock_release(&engine->map_lock);
	adopter->changed = adopter->changed || err == -EAGAIN;
	if (err == -ENOSPC)
		engine_end(engine, "the program has too many mappings", start);
	return err;
}

static void adopt(struct adopter *adopter, uint64_t start, uint64_t end)
{
	const struct timespec moment = {.tv_nsec = 20000};
	int err = register_range(adopter, start, end);

	for (unsigned tries = 0; err == -EAGAIN && tries < CALM_TRIES; tries++) {
		nanosleep(&moment, NULL);
		err = register_range(adopter, start, end);
	}
	if (err) /* the map has changed since we read it, or the program has a userfaultfd there */
		return;
	recall_guard(adopter->engine, start, end);
	look_at(adopter, start, end);
}

/* Adopts what is not adopted yet of [start, end). */
static void adopt_gaps(struct adopter *adopter, uint64_t start, uint64_t end)
{
	struct engine *engine = adopter->engine;
	struct region gap;
	bool found;

	while (start < end) {
		lock_acquire(&engine->map_lock);
		found = regions_gap(&engine->regions, start, end, &gap);
		lock_release(&engine->map_lock);
		if (!found)
			return;
		adopt(adopter, gap.start, gap.end);
		start = gap.end;
	}
}

/* The first stretch of excluded addresses in [start, end). */
static bool next_excluded(const struct adopter *adopter, uint64_t start, uint64_t end,
			  struct region *out)
{
	bool found = false;

	for (unsigned i = 0; i < adopter->excluded_count; i++) {
		struct region other = adopter->excluded[i];

		if (other.start >= end || other.end <= start ||
		    (found && other.start >= out->start))
			continue;
		*out = other;
		found = true;
	}
	return found;
}

static void consider(void *arg, const struct maps_entry *entry)
{
	struct adopter *adopter = arg;
	uint64_t start = entry->start;
	struct region excluded = {0, 0};

	if (!maps_is_adoptable(entry) || entry->end - entry->start < MIN_BYTES ||
	    entry->end > PAGE_TABLE_END)
		return;
	while (start < entry->end && next_excluded(adopter, start, entry->end, &excluded)) {
		if (excluded.start > start)
			adopt_gaps(adopter, start, excluded.start);
		start = excluded.end;
	}
	if (start < entry->end)
		adopt_gaps(adopter, start, entry->end);
}

/* Pages that lie in our regions and nobody knows: left by MADV_FREE, or skipped by a look. */
static void look_again(struct adopter *adopter)
{
	struct engine *engine = adopter->engine;
	struct region region;

	for (unsigned i = 0;; i++) {
		lock_acquire(&engine->map_lock);
		if (i >= engine->regions.count) {
			lock_release(&engine->map_lock);
			return;
		}
		region = engine->regions.list[i];
		lock_release(&engine->map_lock);
		look_at(adopter, region.start, region.end);
	}
}

static bool worth_another_look(struct adopter *adopter)
{
	const struct engine *engine = adopter->engine;

	return atomic_load(&engine->other_pages) > adopter->known_other + UNKNOWN_PAGES &&
	       clock_ns() - adopter->again_ns > AGAIN_NS;
}

void adopt_turn(struct engine *engine, uint64_t size_pages)
{
	struct adopter *adopter = engine->adopter;
	bool again;

	if (adopter->recount) /* counted anew since the last look */
		adopter->known_other = adopter->passed_over ? 0 : atomic_load(&engine->other_pages);
	adopter->recount = false;
	if (atomic_load(&engine->other_pages) < adopter->seen_other)
		adopter->seen_other = atomic_load(&engine->other_pages);
	again = worth_another_look(adopter);
	if (size_pages == adopter->seen_size && !again &&
	    atomic_load(&engine->other_pages) < adopter->seen_other + GROWN_PAGES)
		return;
	adopter->seen_other = atomic_load(&engine->other_pages);
	adopter->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	list_excluded(adopter);
	adopter->passed_over = false;
	adopter->changed = false;
	if (maps_each(adopter->maps, consider, adopter) == 0 && !adopter->changed)
		adopter->seen_size = size_pages;
	if (again) {
		look_again(adopter);
		adopter->again_ns = clock_ns();
		adopter->recount = true;
	}
	if (adopter->pagemap_fd >= 0)
		close(adopter->pagemap_fd);
}
