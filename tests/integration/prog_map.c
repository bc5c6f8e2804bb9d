/*
 * Unmaps, moves, grows and replaces memory that is out: see ways.h.
 */
#include "tests/integration/ways.h"

#include <fcntl.h>
#include <sys/shm.h>

#define JOINED 8u /* pages: less than is looked for */
#define HALF (PIECE_PAGES / 2)
#define QUARTER (PIECE_PAGES / 4)

/* ---- munmap ---- */

/* What is mapped in the place of what has gone begins with zeros, and is as good as any other. */
static void map_anew(const struct piece *piece, size_t first, size_t pages)
{
	struct piece anew = {page_at(piece, first), pages, version_new()};

	must(is_all_unmapped(anew.at, pages), "the range is still mapped");
	map_at(anew.at, pages, MAP_FIXED_NOREPLACE);
	zeros_check(anew.at, pages, "mapped anew");
	piece_write(&anew);
	piece_check_again(&anew, "mapped anew and written");
}

static void unmap_part(size_t first, size_t pages)
{
	struct piece piece = piece_out(PIECE_PAGES);

	pages_free(page_at(&piece, first), pages);
	part_check(&piece, 0, first, "before the hole");
	part_check(&piece, first + pages, piece.pages - first - pages, "behind the hole");
	map_anew(&piece, first, pages);
	part_check(&piece, 0, first, "before what is new");
	part_check(&piece, first + pages, piece.pages - first - pages, "behind what is new");
	piece_free(&piece);
}

static void unmap_head(void)
{
	unmap_part(0, QUARTER);
}

static void unmap_middle(void)
{
	unmap_part(QUARTER + 3, QUARTER);
}

static void unmap_tail(void)
{
	unmap_part(PIECE_PAGES - QUARTER, QUARTER);
}

static void unmap_all(void)
{
	unmap_part(0, PIECE_PAGES);
}

static void unmap_every_second(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	for (size_t page = 0; page < PIECE_PAGES; page += 2)
		pages_free(page_at(&piece, page), 1);
	for (size_t page = 1; page < PIECE_PAGES; page += 2)
		part_check(&piece, page, 1, "between holes");
	for (size_t page = 0; page < PIECE_PAGES; page += 2) {
		map_at(page_at(&piece, page), 1, MAP_FIXED_NOREPLACE);
		zeros_check(page_at(&piece, page), 1, "mapped into a hole");
	}
	piece_free(&piece);
}

/* ---- mremap ---- */

static void *remap(const void *from, size_t old_pages, size_t new_pages, int flags, void *to)
{
	void *got = mremap((void *)(uintptr_t)from, old_pages * PAGE_BYTES, new_pages * PAGE_BYTES,
			   flags, to);

	must(got != MAP_FAILED, "mremap");
	return got;
}

static void grow_in_place(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	must(remap(piece.at, PIECE_PAGES, 2 * PIECE_PAGES, 0, NULL) == piece.at, "grown elsewhere");
	part_check(&piece, 0, HALF, "grown");
	zeros_check(page_at(&piece, PIECE_PAGES), PIECE_PAGES, "what is new");
	part_check(&piece, HALF, HALF, "grown");
	piece.pages = 2 * PIECE_PAGES;
	piece_write(&piece);
	piece_check_again(&piece, "grown and written");
	piece_free(&piece);
}

static void shrink(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	must(remap(piece.at, PIECE_PAGES, HALF, 0, NULL) == piece.at, "shrunk elsewhere");
	must(is_all_unmapped(page_at(&piece, HALF), HALF), "nothing is gone");
	must(remap(piece.at, HALF, PIECE_PAGES, 0, NULL) == piece.at, "grown elsewhere");
	zeros_check(page_at(&piece, HALF), HALF, "shrunk and grown");
	part_check(&piece, 0, HALF, "what has stayed");
	piece_write(&piece);
	piece_check_again(&piece, "shrunk, grown and written");
	piece_free(&piece);
}

/* Something is in the way behind it. */
static void grow_elsewhere(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	void *wall = map_at(page_at(&piece, PIECE_PAGES), 1, MAP_FIXED_NOREPLACE);
	const uint64_t *old = piece.at;

	must(mremap(piece.at, PIECE_BYTES, 2 * PIECE_BYTES, 0) == MAP_FAILED && errno == ENOMEM,
	     "grown over a wall");
	piece.at = remap(piece.at, PIECE_PAGES, 2 * PIECE_PAGES, MREMAP_MAYMOVE, NULL);
	must(piece.at != old && is_all_unmapped(old, PIECE_PAGES), "not moved");
	zeros_check(page_at(&piece, PIECE_PAGES), PIECE_PAGES, "what is new");
	piece_check_again(&piece, "moved to grow");
	pages_free(piece.at, 2 * PIECE_PAGES);
	pages_free(wall, 1);
}

/* With a little that was mapped behind it just now: to the program they are one. */
static void grow_joined(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	map_at(page_at(&piece, PIECE_PAGES), JOINED, MAP_FIXED_NOREPLACE);
	piece.at = remap(piece.at, PIECE_PAGES + JOINED, 2 * PIECE_PAGES, MREMAP_MAYMOVE, NULL);
	zeros_check(page_at(&piece, PIECE_PAGES), PIECE_PAGES, "what is new");
	piece_check_again(&piece, "joined and grown");
	pages_free(piece.at, 2 * PIECE_PAGES);
}

/* To where something else was, which is mostly out, too. */
static void move_over(void)
{
	struct piece over = piece_out(PIECE_PAGES), piece = piece_out(PIECE_PAGES);
	uint64_t *old = piece.at;

	piece.at = remap(old, PIECE_PAGES, PIECE_PAGES, MREMAP_MAYMOVE | MREMAP_FIXED, over.at);
	must(is_all_unmapped(old, PIECE_PAGES), "the old place is still mapped");
	map_at(old, PIECE_PAGES, MAP_FIXED_NOREPLACE);
	part_check(&piece, HALF, HALF, "moved");
	zeros_check(old, PIECE_PAGES, "mapped where it was");
	piece_check_again(&piece, "moved");
	pages_free(old, PIECE_PAGES);
	piece_free(&piece);
}

static void move_and_back(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	uint64_t *home = piece.at, *away = place_new();

	for (unsigned i = 0; i < 50; i++) {
		remap(home, PIECE_PAGES, PIECE_PAGES, MREMAP_MAYMOVE | MREMAP_FIXED, away);
		words_check(away + i * PAGE_WORDS, i, 1, piece.version, "away");
		remap(away, PIECE_PAGES, PIECE_PAGES, MREMAP_MAYMOVE | MREMAP_FIXED, home);
	}
	piece_check_again(&piece, "moved and back");
	piece_free(&piece);
}

static void move_part(void)
{
	struct piece to = piece_out(PIECE_PAGES), from = piece_out(PIECE_PAGES);
	size_t target = PIECE_PAGES - QUARTER - 7;

	remap(page_at(&from, QUARTER), QUARTER, QUARTER, MREMAP_MAYMOVE | MREMAP_FIXED,
	      page_at(&to, target));
	words_check(page_at(&to, target), QUARTER, QUARTER, from.version, "the part");
	part_check(&to, 0, target, "before the part");
	part_check(&to, target + QUARTER, 7, "behind the part");
	part_check(&from, 0, QUARTER, "before the hole");
	part_check(&from, HALF, HALF, "behind the hole");
	map_anew(&from, QUARTER, QUARTER);
	push_out(to.at, PIECE_PAGES);
	words_check(page_at(&to, target), QUARTER, QUARTER, from.version, "the part, out and back");
	part_check(&to, 0, target, "before the part, out and back");
	piece_free(&from);
	piece_free(&to);
}

/* The old place stays mapped, and is empty. */
static void move_and_keep(void)
{
	struct piece piece = piece_out(PIECE_PAGES), left = {piece.at, PIECE_PAGES, version_new()};

	piece.at =
		remap(left.at, PIECE_PAGES, PIECE_PAGES, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	part_check(&piece, 0, HALF, "moved");
	zeros_check(left.at, PIECE_PAGES, "left behind");
	part_check(&piece, HALF, HALF, "moved");
	piece_write(&left);
	piece_check_again(&left, "left behind and written");
	piece_check_again(&piece, "moved");
	piece_free(&left);
	piece_free(&piece);
}

/* ---- mmap over what is there ---- */

static void check_around(const struct piece *piece, size_t first, size_t pages)
{
	part_check(piece, 0, first, "before");
	part_check(piece, first + pages, piece->pages - first - pages, "behind");
}

static void map_over(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece over = {page_at(&piece, QUARTER), QUARTER, version_new()};

	map_at(over.at, QUARTER, MAP_FIXED);
	zeros_check(over.at, QUARTER, "mapped over");
	check_around(&piece, QUARTER, QUARTER);
	piece_write(&over);
	piece_check_again(&over, "mapped over and written");
	check_around(&piece, QUARTER, QUARTER);
	piece_free(&piece);
}

static void map_over_populated(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	map_at(page_at(&piece, QUARTER), QUARTER, MAP_FIXED | MAP_POPULATE);
	zeros_check(page_at(&piece, QUARTER), QUARTER, "mapped over, populated");
	check_around(&piece, QUARTER, QUARTER);
	piece_free(&piece);
}

static int file_make(size_t pages, uint64_t version)
{
	static uint64_t page[PAGE_WORDS];
	int fd = memfd_create("file", MFD_CLOEXEC);

	must(fd >= 0, "memfd_create");
	for (size_t i = 0; i < pages; i++) {
		words_write(page, i, 1, version);
		must(write(fd, page, PAGE_BYTES) == (ssize_t)PAGE_BYTES, "write");
	}
	return fd;
}

static void map_file(void *at, size_t pages, int flags, int fd)
{
	must(mmap(at, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0) == at, "mmap");
}

static void map_file_over(int flags)
{
	uint64_t version = version_new();
	struct piece piece = piece_out(PIECE_PAGES);
	uint64_t *over = page_at(&piece, QUARTER);
	int fd = file_make(QUARTER, version);

	map_file(over, QUARTER, flags | MAP_FIXED, fd);
	words_check(over, 0, QUARTER, version, "the file");
	check_around(&piece, QUARTER, QUARTER);
	words_write(over, 0, HALF / 4, version + 1);
	push_out(page_at(&piece, HALF), HALF);
	words_check(over, 0, HALF / 4, version + 1, "the file, written");
	words_check(over + HALF / 4 * PAGE_WORDS, HALF / 4, QUARTER - HALF / 4, version,
		    "the file");
	map_at(over, QUARTER, MAP_FIXED);
	zeros_check(over, QUARTER, "mapped over the file");
	check_around(&piece, QUARTER, QUARTER);
	piece_free(&piece);
	close(fd);
}

static void map_private_file_over(void)
{
	map_file_over(MAP_PRIVATE);
}

static void map_shared_file_over(void)
{
	map_file_over(MAP_SHARED);
}

static void map_no_replace(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	must(mmap(page_at(&piece, PIECE_PAGES - 1), PIECE_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED &&
		     errno == EEXIST,
	     "mapped over what is out");
	must(has_hole(page_at(&piece, PIECE_PAGES), 1), "something was mapped behind it");
	map_at(page_at(&piece, PIECE_PAGES), PIECE_PAGES, MAP_FIXED_NOREPLACE);
	zeros_check(page_at(&piece, PIECE_PAGES), PIECE_PAGES, "behind it");
	piece_check_again(&piece, "not replaced");
	pages_free(piece.at, 2 * PIECE_PAGES);
}

/* Without SHM_REMAP, which is another matter (docs/uffd.md). */
static void attach_shared(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece shared = {page_at(&piece, QUARTER), QUARTER, version_new()};
	int id = shmget(IPC_PRIVATE, QUARTER * PAGE_BYTES, IPC_CREAT | 0600);
	void *got;

	if (id < 0) {
		piece_free(&piece);
		way_is_missing();
		return;
	}
	must(shmat(id, shared.at, 0) == (void *)-1 && errno == EINVAL, "attached over something");
	pages_free(shared.at, QUARTER);
	got = shmat(id, shared.at, 0);
	shmctl(id, IPC_RMID, NULL);
	must(got == shared.at, "shmat");
	zeros_check(shared.at, QUARTER, "attached");
	piece_write(&shared);
	check_around(&piece, QUARTER, QUARTER);
	push_out(page_at(&piece, HALF), HALF);
	piece_check(&shared, "attached and written");
	must(shmdt(shared.at) == 0, "shmdt");
	map_anew(&piece, QUARTER, QUARTER);
	check_around(&piece, QUARTER, QUARTER);
	piece_free(&piece);
}

/* ---- the heap's end ---- */

static void *heap_end(intptr_t by)
{
	void *old = sbrk(by);

	must(old != (void *)-1, "sbrk");
	return old;
}

static void heap_up_and_down(void)
{
	uintptr_t end = (uintptr_t)heap_end(0), start = (end + PAGE_BYTES - 1) & -PAGE_BYTES;
	struct piece heap = {(void *)start, PIECE_PAGES, version_new()};
	struct piece again = {page_at(&heap, HALF), HALF, version_new()};

	heap_end((intptr_t)(start - end));
	heap_end(PIECE_BYTES);
	zeros_check(heap.at, PIECE_PAGES, "the heap's new end");
	piece_write(&heap);
	push_out(heap.at, PIECE_PAGES);
	heap_end(-(intptr_t)(HALF * PAGE_BYTES));
	part_check(&heap, 0, QUARTER, "the heap, shrunk");
	heap_end(HALF * PAGE_BYTES);
	zeros_check(again.at, HALF, "the heap's end, come back");
	part_check(&heap, 0, HALF, "the heap, grown");
	piece_write(&again);
	piece_check_again(&again, "the heap's end, written");
	heap_end(-(intptr_t)(HALF * PAGE_BYTES));
	part_check(&heap, 0, HALF, "the heap, shrunk again");
	must(brk((void *)end) == 0, "brk");
}

static const struct way ways[] = {
	{"munmap-head", unmap_head},
	{"munmap-middle", unmap_middle},
	{"munmap-tail", unmap_tail},
	{"munmap-all", unmap_all},
	{"munmap-every-second", unmap_every_second},
	{"mremap-grow", grow_in_place},
	{"mremap-shrink", shrink},
	{"mremap-grow-elsewhere", grow_elsewhere},
	{"mremap-grow-joined", grow_joined},
	{"mremap-over", move_over},
	{"mremap-and-back", move_and_back},
	{"mremap-part", move_part},
	{"mremap-dontunmap", move_and_keep},
	{"mmap-over", map_over},
	{"mmap-populate-over", map_over_populated},
	{"mmap-private-file-over", map_private_file_over},
	{"mmap-shared-file-over", map_shared_file_over},
	{"mmap-noreplace", map_no_replace},
	{"shmat", attach_shared},
	{"brk", heap_up_and_down},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
