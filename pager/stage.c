#include "pager/stage.h"

#include "pager/maps.h"
#include "pager/own.h"
#include "pager/page_table.h"
#include "pager/uffd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

#define DROP_TRIES 1000u /* of one page, each of a microsecond or so */

/*
 * Closed at first, so that nothing fills it, and not locked: both would be after
 * mlockall(MCL_FUTURE).
 */
static int map_private(size_t bytes, int protection, uint64_t *out)
{
	void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	*out = (uintptr_t)at;
	(void)munlock(at, bytes);
	(void)madvise(at, bytes, MADV_DONTFORK);
	(void)madvise(at, bytes, MADV_DONTDUMP);
	return mprotect(at, bytes, protection) ? -errno : 0;
}

static size_t area_bytes(const struct stage *stage)
{
	return (size_t)stage->pages << PAGE_SHIFT;
}

static int map_areas(struct stage *stage)
{
	int err;

	if (stage->remaps) {
		stage->maps = own_alloc(MAPS_BUFFER_BYTES + MAPS_NAME_BYTES);
		stage->maps_fd = maps_open();
		return stage->maps && stage->maps_fd >= 0
			       ? map_private(area_bytes(stage), PROT_NONE, &stage->base)
			       : -ENOMEM;
	}
	err = map_private(stage_bytes(stage), PROT_READ | PROT_WRITE, &stage->base);
	stage->trash = stage->base + area_bytes(stage);
	if (!err)
		err = uffd_register(stage->uffd, stage->base, area_bytes(stage), false);
	if (!err)
		err = uffd_register(stage->trash_uffd, stage->trash, STAGE_DROP_PAGES * PAGE_BYTES,
				    false);
	return err;
}

int stage_open(struct stage *stage, uint32_t pages, int uffd, int trash_uffd)
{
	int err;

	memset(stage, 0, sizeof(*stage));
	stage->pages = pages;
	stage->uffd = uffd;
	stage->trash_uffd = trash_uffd;
	stage->remaps = trash_uffd < 0;
	stage->mapping_begins = own_alloc(pages);
	stage->ids = own_alloc(pages * sizeof(stage->ids[0]));
	stage->came_from = own_alloc(pages * sizeof(stage->came_from[0]));
	stage->phases = own_alloc(pages);
	stage->left = own_alloc(pages);
	err = -ENOMEM;
	if (stage->ids && stage->came_from && stage->phases && stage->left && stage->mapping_begins)
		err = map_areas(stage);
	if (err)
		stage_close(stage);
	return err;
}

void stage_close(struct stage *stage)
{
	if (stage->base)
		munmap((void *)(uintptr_t)stage->base, stage_bytes(stage));
	own_free(stage->ids, stage->pages * sizeof(stage->ids[0]));
	own_free(stage->came_from, stage->pages * sizeof(stage->came_from[0]));
	own_free(stage->phases, stage->pages);
	own_free(stage->left, stage->pages);
	own_free(stage->mapping_begins, stage->pages);
	memset(stage, 0, sizeof(*stage));
}

uint32_t stage_room(const struct stage *stage, uint32_t n)
{
	uint64_t free_places = stage->pages - stage_level(stage);
	uint32_t place = stage_place(stage, stage->head), to_end = stage->pages - place, room = 0;

	if (stage->lost_end)
		return 0;
	if (n > free_places)
		n = (uint32_t)free_places;
	if (n > to_end)
		n = to_end;
	if (LIKELY(!stage->left_count))
		return n;
	while (room < n && !stage->left[place + room])
		room++;
	return room;
}

void stage_pass_over_left(struct stage *stage)
{
	while (UNLIKELY(stage->left_count) && stage_level(stage) < stage->pages &&
	       stage->left[stage_place(stage, stage->head)]) {
		stage->phases[stage_place(stage, stage->head)] = STAGE_DEAD;
		stage->ids[stage_place(stage, stage->head)] = PAGE_NO_ID;
		stage->head++;
	}
}

bool stage_contains(const struct stage *stage, uint64_t address)
{
	return address >= stage->base &&
	       address < stage->base + ((uint64_t)stage->pages << PAGE_SHIFT);
}

/* In one call, and never only one of them: pages are moved between two that are locked, or not. */
void stage_unlock(const struct stage *stage)
{
	(void)munlock((void *)(uintptr_t)stage->base, stage_bytes(stage));
}

int stage_lock_when_touched(const struct stage *stage)
{
	return mlock2((void *)(uintptr_t)stage->base, stage_bytes(stage), MLOCK_ONFAULT) ? -errno
											 : 0;
}

static void empty_trash(const struct stage *stage)
{
	void *at = (void *)(uintptr_t)stage->trash;

	if (madvise(at, STAGE_DROP_PAGES * PAGE_BYTES, MADV_DONTNEED)) /* it is locked */
		(void)madvise(at, STAGE_DROP_PAGES * PAGE_BYTES, MADV_DONTNEED_LOCKED);
}

static void set_left(struct stage *stage, uint32_t place, bool left)
{
	stage->left_count += left - (uint32_t)stage->left[place];
	stage->left[place] = left;
}

/* A page that does not go is left there, if it was pinned or merged with others by the kernel. */
static void drop_run(struct stage *stage, uint32_t place, uint32_t n)
{
	uint64_t from = stage_address(stage, place), bytes = (uint64_t)n << PAGE_SHIFT;
	uint64_t done = 0, moved;
	unsigned tries = 0;
	int err;

	for (uint32_t i = 0; i < n && UNLIKELY(stage->left_count); i++)
		set_left(stage, place + i, false);
	while (done < bytes) {
		err = uffd_move(stage->trash_uffd, stage->trash + done, from + done, bytes - done,
				true, &moved);
		done += moved;
		if (moved || !err) {
			tries = 0;
			continue;
		}
		if (err == -EEXIST) /* somebody has read there, or it has come, untold: move.h */
			empty_trash(stage);
		if ((err == -EEXIST || err == -EAGAIN) && ++tries < DROP_TRIES)
			continue;
		set_left(stage, place + (uint32_t)(done >> PAGE_SHIFT), true);
		done += PAGE_BYTES;
		tries = 0;
	}
	empty_trash(stage);
}

void stage_clear_head(struct stage *stage)
{
	drop_run(stage, stage_place(stage, stage->head), 1);
}

/* ---- without UFFDIO_MOVE ---- */

static int reserve(uint64_t start, uint64_t end, int how)
{
	void *at = (void *)(uintptr_t)start;

	if (start >= end)
		return 0;
	return mmap(at, end - start, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | how,
		    -1, 0) == at
		       ? 0
		       : -errno;
}

void stage_note_mapping(struct stage *stage, uint32_t place)
{
	stage->mapping_begins[place] = 1;
	stage->mappings++;
}

/* Whether all of it is still ours: then it was never unmapped. */
static bool is_reserved(const struct stage *stage, uint64_t start, uint64_t end)
{
	struct maps_entry entry;

	return maps_find(stage->maps_fd, stage->maps, start, &entry) == 0 &&
	       maps_is_reserved(&entry) && entry.start <= start && entry.end >= end;
}

void stage_discard(struct stage *stage, uint32_t place, uint32_t n)
{
	uint64_t start = stage_address(stage, place);

	(void)reserve(start, start + ((uint64_t)n << PAGE_SHIFT), MAP_FIXED);
}

void stage_reserve_again(struct stage *stage, uint32_t place, uint32_t n, bool in_part)
{
	uint64_t start = stage_address(stage, place), end = start + ((uint64_t)n << PAGE_SHIFT);

	if (reserve(start, end, MAP_FIXED_NOREPLACE) == 0 || is_reserved(stage, start, end))
		return;
	if (in_part && is_reserved(stage, end - PAGE_BYTES, end)) {
		stage_discard(stage, place, n);
		return;
	}
	stage->lost_start = start;
	stage->lost_end = end;
}

/* Unregistering comes first: it is not reported, and what is not registered is not either. */
static void unmap_run(struct stage *stage, uint64_t start, uint64_t bytes)
{
	uint64_t end = start + bytes;
	bool is_whole = stage->lost_end <= start || stage->lost_start >= end;

	(void)!uffd_unregister(stage->uffd, start,
			       bytes); /* else it is reported, and means nothing */
	if (is_whole) {
		(void)reserve(start, end, MAP_FIXED);
		return;
	}
	(void)reserve(start, stage->lost_start, MAP_FIXED);
	(void)reserve(stage->lost_end, end, MAP_FIXED);
}

static void unmap_places(struct stage *stage, uint32_t place, uint32_t n)
{
	unmap_run(stage, stage_address(stage, place), (uint64_t)n << PAGE_SHIFT);
	for (; n--; place++) {
		stage->mappings -= stage->mapping_begins[place];
		stage->mapping_begins[place] = 0;
	}
}

void stage_drop(struct stage *stage, uint64_t tail, uint32_t count)
{
	while (count) {
		uint32_t place = stage_place(stage, tail);
		uint32_t n = count < STAGE_DROP_PAGES ? count : STAGE_DROP_PAGES;

		if (n > stage->pages - place)
			n = stage->pages - place;
		if (stage->remaps)
			unmap_places(stage, place, n);
		else
			drop_run(stage, place, n);
		tail += n;
		count -= n;
	}
}
