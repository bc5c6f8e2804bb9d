#include "pager/stage.h"

#include "pager/own.h"
#include "pager/uffd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static int map_private(size_t bytes, uint64_t *out)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	(void)madvise(at, bytes, MADV_DONTFORK);
	(void)madvise(at, bytes, MADV_DONTDUMP);
	*out = (uintptr_t)at;
	return 0;
}

static int map_areas(struct stage *stage)
{
	size_t bytes = (size_t)stage->pages << PAGE_SHIFT;
	int err = map_private(bytes, &stage->base);

	if (!err)
		err = map_private(STAGE_DROP_PAGES * PAGE_BYTES, &stage->trash);
	if (!err)
		err = uffd_register(stage->uffd, stage->base, bytes);
	if (!err)
		err = uffd_register(stage->trash_uffd, stage->trash, STAGE_DROP_PAGES * PAGE_BYTES);
	return err;
}

int stage_open(struct stage *stage, uint32_t pages, int uffd, int trash_uffd)
{
	int err;

	memset(stage, 0, sizeof(*stage));
	stage->pages = pages;
	stage->uffd = uffd;
	stage->trash_uffd = trash_uffd;
	stage->ids = own_alloc(pages * sizeof(stage->ids[0]));
	stage->phases = own_alloc(pages);
	err = stage->ids && stage->phases ? map_areas(stage) : -ENOMEM;
	if (err)
		stage_close(stage);
	return err;
}

void stage_close(struct stage *stage)
{
	if (stage->base)
		munmap((void *)(uintptr_t)stage->base, (size_t)stage->pages << PAGE_SHIFT);
	if (stage->trash)
		munmap((void *)(uintptr_t)stage->trash, STAGE_DROP_PAGES * PAGE_BYTES);
	own_free(stage->ids, stage->pages * sizeof(stage->ids[0]));
	own_free(stage->phases, stage->pages);
	memset(stage, 0, sizeof(*stage));
}

uint32_t stage_room(const struct stage *stage, uint32_t n)
{
	uint64_t free_places = stage->pages - stage_level(stage);
	uint32_t to_end = stage->pages - stage_place(stage, stage->head);

	if (n > free_places)
		n = (uint32_t)free_places;
	return n < to_end ? n : to_end;
}

bool stage_contains(const struct stage *stage, uint64_t address)
{
	return address >= stage->base &&
	       address < stage->base + ((uint64_t)stage->pages << PAGE_SHIFT);
}

static void drop_run(struct stage *stage, uint64_t from, uint64_t bytes)
{
	uint64_t done = 0, moved;
	int err;

	/* Bounded: a page that will not move is left behind and found again as EEXIST. */
	for (unsigned tries = 0; done < bytes && tries < 1000; tries++) {
		err = uffd_move(stage->trash_uffd, stage->trash + done, from + done, bytes - done,
				true, &moved);
		done += moved;
		if (err && err != -EAGAIN && moved == 0)
			done += PAGE_BYTES;
	}
	(void)madvise((void *)(uintptr_t)stage->trash, bytes, MADV_DONTNEED);
}

void stage_drop(struct stage *stage, uint64_t tail, uint32_t count)
{
	while (count) {
		uint32_t place = stage_place(stage, tail);
		uint32_t n = count < STAGE_DROP_PAGES ? count : STAGE_DROP_PAGES;

		if (n > stage->pages - place)
			n = stage->pages - place;
		drop_run(stage, stage_address(stage, place), (uint64_t)n << PAGE_SHIFT);
		tail += n;
		count -= n;
	}
}
