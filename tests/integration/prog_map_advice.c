/*
 * Gives the kernel advice about memory that is out (madvise), and forks under it: see ways.h.
 */
#include "tests/integration/children.h"
#include "tests/integration/expect.h"
#include "tests/integration/ways.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define HALF (PIECE_PAGES / 2)
#define QUARTER (PIECE_PAGES / 4)
#define HUGE_PAGES 512u /* as x86 has them */

static int advise(const void *at, size_t pages, int advice)
{
	return madvise((void *)(uintptr_t)at, pages * PAGE_BYTES, advice) ? -errno : 0;
}

static void must_advise(const void *at, size_t pages, int advice)
{
	must(advise(at, pages, advice) == 0, "madvise");
}

/* ---- dropped ---- */

static void drop_part(size_t first, size_t pages)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece part = {page_at(&piece, first), pages, version_new()};

	must_advise(part.at, pages, MADV_DONTNEED);
	part_check(&piece, 0, first, "before what was dropped");
	zeros_check(part.at, pages, "dropped");
	part_check(&piece, first + pages, PIECE_PAGES - first - pages, "behind what was dropped");
	piece_write(&part);
	piece_check_again(&part, "dropped and written");
	must_advise(part.at, pages, MADV_DONTNEED);
	zeros_check(part.at, pages, "dropped again");
	part_check(&piece, 0, first, "before, at the end");
	piece_free(&piece);
}

static void drop_middle(void)
{
	drop_part(QUARTER + 5, HALF);
}

static void drop_all(void)
{
	drop_part(0, PIECE_PAGES);
}

/* Every second page, each by itself, and at once some of them written. */
static void drop_every_second(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	uint64_t version = version_new();

	for (size_t page = 0; page < PIECE_PAGES; page += 2) {
		must_advise(page_at(&piece, page), 1, MADV_DONTNEED);
		if (page % 4)
			words_write(page_at(&piece, page), page, 1, version);
	}
	push_out(piece.at, PIECE_PAGES);
	for (size_t page = 0; page < PIECE_PAGES; page++)
		words_check(page_at(&piece, page), page, 1,
			    page % 2   ? piece.version
			    : page % 4 ? version
				       : 0,
			    "every second dropped");
	piece_free(&piece);
}

/* The range ends in a hole, or in another kind of mapping: what there is of ours is dropped. */
static void drop_over_borders(void)
{
	struct piece left = piece_out(PIECE_PAGES);
	struct piece right = {page_at(&left, PIECE_PAGES + HALF), PIECE_PAGES, version_new()};

	map_at(right.at, PIECE_PAGES, MAP_FIXED_NOREPLACE);
	piece_write(&right);
	push_out(right.at, PIECE_PAGES);
	push_out(left.at, PIECE_PAGES);
	must(advise(page_at(&left, HALF), PIECE_PAGES + QUARTER, MADV_DONTNEED) == -ENOMEM,
	     "no hole was found");
	part_check(&left, 0, HALF, "before");
	zeros_check(page_at(&left, HALF), HALF, "dropped, left of a hole");
	zeros_check(right.at, QUARTER, "dropped, right of a hole");
	part_check(&right, QUARTER, PIECE_PAGES - QUARTER, "behind");
	piece_free(&left);
	piece_free(&right);
}

static void drop_over_file(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece file = {page_at(&piece, QUARTER), QUARTER, version_new()};
	int fd = memfd_create("file", MFD_CLOEXEC);

	must(fd >= 0 && ftruncate(fd, QUARTER * PAGE_BYTES) == 0, "memfd");
	must(mmap(file.at, QUARTER * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		  0) == file.at,
	     "mmap");
	piece_write(&file);
	must_advise(page_at(&piece, 9), HALF + QUARTER, MADV_DONTNEED);
	part_check(&piece, 0, 9, "before");
	zeros_check(page_at(&piece, 9), QUARTER - 9, "dropped, before the file");
	piece_check(&file, "a shared file, dropped"); /* it is still in the file */
	zeros_check(page_at(&piece, HALF), 9 + QUARTER, "dropped, behind the file");
	part_check(&piece, HALF + QUARTER + 9, QUARTER - 9, "behind");
	piece_free(&piece);
	close(fd);
}

/* ---- freed ---- */

/* Each page is what it was or zeros, as a whole. */
static void check_freed(const struct piece *piece, size_t first, size_t pages)
{
	for (size_t page = first; page < first + pages; page++) {
		const volatile uint64_t *at = page_at(piece, page);

		words_check(page_at(piece, page), page, 1, at[1] ? piece->version : 0, "freed");
	}
}

static void free_some(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece part = {page_at(&piece, QUARTER), QUARTER, version_new()};

	must_advise(page_at(&piece, QUARTER), HALF, MADV_FREE);
	piece_write(&part);
	check_freed(&piece, HALF, QUARTER);
	piece_check_again(&part, "freed and written");
	part_check(&piece, 0, QUARTER, "before what was freed");
	part_check(&piece, HALF + QUARTER, QUARTER, "behind what was freed");
	check_freed(&piece, HALF, QUARTER);
	piece_free(&piece);
}

/* What is in memory when it is freed may stay; it is written, and then it must. */
static void free_what_is_here(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	part_check(&piece, 0, HALF, "brought in");
	must_advise(piece.at, PIECE_PAGES, MADV_FREE);
	check_freed(&piece, 0, PIECE_PAGES);
	piece.version = version_new();
	piece_write(&piece);
	piece_check_again(&piece, "freed and written");
	piece_free(&piece);
}

/* ---- kept ---- */

/* Advice that changes nothing that can be read. */
static void advise_and_keep(int advice)
{
	struct piece piece = piece_out(PIECE_PAGES);
	int err = advise(page_at(&piece, QUARTER + 1), HALF, advice);

	if (err == -EINVAL) {
		piece_free(&piece);
		way_is_missing();
		return;
	}
	must(err == 0, "madvise");
	piece_check(&piece, "kept");
	piece.version = version_new();
	piece_write(&piece);
	must_advise(page_at(&piece, QUARTER), HALF, advice);
	piece_check_again(&piece, "kept and written");
	must_advise(piece.at, PIECE_PAGES, advice);
	piece_check(&piece, "kept again");
	piece_free(&piece);
}

static void populate_to_read(void)
{
	advise_and_keep(MADV_POPULATE_READ);
}

static void populate_to_write(void)
{
	advise_and_keep(MADV_POPULATE_WRITE);
}

static void page_out(void)
{
	advise_and_keep(MADV_PAGEOUT);
}

static void make_cold(void)
{
	advise_and_keep(MADV_COLD);
}

static void will_need(void)
{
	advise_and_keep(MADV_WILLNEED);
}

static void go_in_order(void)
{
	advise_and_keep(MADV_SEQUENTIAL);
}

static void merge_same(void)
{
	advise_and_keep(MADV_MERGEABLE);
}

static void do_not_dump(void)
{
	advise_and_keep(MADV_DONTDUMP);
}

/* ---- huge pages ---- */

static struct piece huge_out(void)
{
	struct piece piece = piece_new(2 * HUGE_PAGES, 0); /* aligned, as all pieces are */

	if (advise(piece.at, piece.pages, MADV_HUGEPAGE))
		way_is_missing();
	piece_write(&piece);
	push_out(piece.at, piece.pages);
	return piece;
}

static void be_huge(void)
{
	struct piece piece = huge_out();

	piece_check_again(&piece, "huge");
	must(ways_missing || !advise(page_at(&piece, 100), HUGE_PAGES, MADV_NOHUGEPAGE), "madvise");
	piece_check_again(&piece, "huge in part");
	must_advise(page_at(&piece, 50), HUGE_PAGES, MADV_DONTNEED);
	part_check(&piece, 0, 50, "before");
	zeros_check(page_at(&piece, 50), HUGE_PAGES, "dropped across");
	part_check(&piece, 50 + HUGE_PAGES, HUGE_PAGES - 50, "behind");
	piece_free(&piece);
}

/* May be refused, where pages are out. */
static void collapse(void)
{
	struct piece piece = huge_out();
	int err = ways_missing ? -EINVAL : advise(piece.at, piece.pages, MADV_COLLAPSE);

	piece_check(&piece, "collapsed");
	for (unsigned i = 0; i < 4 && err; i++) {
		piece_check(&piece, "brought in");
		err = advise(piece.at, piece.pages, MADV_COLLAPSE);
	}
	piece.version = version_new();
	piece_write(&piece);
	piece_check_again(&piece, "collapsed and written");
	piece_free(&piece);
}

/* ---- children ---- */

/* A middle that a child shall not have, or have empty. */
static void with_child(pid_t (*split)(void), int advice, int undo)
{
	struct piece piece = piece_out(PIECE_PAGES);
	pid_t pid;

	must_advise(page_at(&piece, QUARTER), HALF, advice);
	push_out(piece.at, PIECE_PAGES);
	pid = split();
	must(pid >= 0, "no child");
	if (pid == 0) {
		ways_name = "a child";
		part_check(&piece, 0, QUARTER, "inherited, before");
		for (size_t page = QUARTER; page < QUARTER + HALF && advice == MADV_DONTFORK;
		     page++)
			expect_unmapped(page_at(&piece, page));
		if (advice == MADV_WIPEONFORK)
			zeros_check(page_at(&piece, QUARTER), HALF, "wiped");
		part_check(&piece, QUARTER + HALF, QUARTER, "inherited, behind");
		_exit(0);
	}
	piece_check(&piece, "a parent");
	child_await(pid, "child");
	piece_check(&piece, "a parent, after its child");
	must_advise(page_at(&piece, QUARTER), HALF, undo);
	piece_check_again(&piece, "undone");
	piece_free(&piece);
}

static void fork_without(void)
{
	with_child(fork, MADV_DONTFORK, MADV_DOFORK);
}

static void clone_without(void)
{
	with_child(clone_plain, MADV_DONTFORK, MADV_DOFORK);
}

static void fork_wiped(void)
{
	with_child(fork, MADV_WIPEONFORK, MADV_KEEPONFORK);
}

static void clone_wiped(void)
{
	with_child(clone_plain, MADV_WIPEONFORK, MADV_KEEPONFORK);
}

static const struct way ways[] = {
	{"dontneed", drop_middle},
	{"dontneed-all", drop_all},
	{"dontneed-every-second", drop_every_second},
	{"dontneed-over-a-hole", drop_over_borders},
	{"dontneed-over-a-file", drop_over_file},
	{"free", free_some},
	{"free-what-is-here", free_what_is_here},
	{"populate-read", populate_to_read},
	{"populate-write", populate_to_write},
	{"pageout", page_out},
	{"cold", make_cold},
	{"willneed", will_need},
	{"sequential", go_in_order},
	{"mergeable", merge_same},
	{"dontdump", do_not_dump},
	{"hugepage", be_huge},
	{"collapse", collapse},
	{"dontfork-fork", fork_without},
	{"dontfork-clone", clone_without},
	{"wipeonfork-fork", fork_wiped},
	{"wipeonfork-clone", clone_wiped},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
