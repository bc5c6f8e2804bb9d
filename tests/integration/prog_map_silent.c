/*
 * Changes its map in ways that the kernel does not report to a userfaultfd, while memory is out:
 * see ways.h.
 */
#include "tests/integration/children.h"
#include "tests/integration/expect.h"
#include "tests/integration/ways.h"

#include <sys/ipc.h>
#include <sys/shm.h>

/* Linux 6.13; newer than the headers of Debian 12. The C library of today has it below stacks. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define HALF (PIECE_PAGES / 2)
#define QUARTER (PIECE_PAGES / 4)

/* False if the kernel has none. */
static bool install(const struct piece *piece, size_t first, size_t pages)
{
	if (madvise(page_at(piece, first), pages * PAGE_BYTES, MADV_GUARD_INSTALL) == 0)
		return true;
	must(errno == EINVAL, "madvise");
	way_is_missing();
	return false;
}

static void remove_guards(const struct piece *piece, size_t first, size_t pages)
{
	must(madvise(page_at(piece, first), pages * PAGE_BYTES, MADV_GUARD_REMOVE) == 0, "madvise");
}

static void guards_check(const struct piece *piece, size_t first, size_t pages)
{
	for (size_t page = first; page < first + pages; page++)
		expect_unmapped(page_at(piece, page));
}

static void sides_check(const struct piece *piece, const char *what)
{
	part_check(piece, 0, QUARTER, what);
	part_check(piece, QUARTER + HALF, QUARTER, what);
}

/* ---- guards ---- */

static void guard(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece middle = {page_at(&piece, QUARTER), HALF, version_new()};

	if (install(&piece, QUARTER, HALF)) {
		guards_check(&piece, QUARTER, HALF);
		sides_check(&piece, "beside guards");
		push_out(piece.at, QUARTER);
		sides_check(&piece, "beside guards, again");
		guards_check(&piece, QUARTER, HALF);
		remove_guards(&piece, QUARTER, HALF);
		zeros_check(middle.at, HALF, "behind a guard that is gone");
		piece_write(&middle);
		push_out(middle.at, HALF);
		piece_check(&middle, "written where guards were");
	}
	sides_check(&piece, "beside it");
	piece_free(&piece);
}

/* Some of the pages are in memory, some are out; nothing is looked at in between. */
static void guard_and_remove(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	part_check(&piece, HALF, QUARTER, "brought in");
	if (install(&piece, QUARTER, HALF)) {
		remove_guards(&piece, QUARTER, HALF);
		zeros_check(page_at(&piece, QUARTER), HALF, "guarded for a moment");
	}
	sides_check(&piece, "beside it");
	piece_free(&piece);
}

/* As below a stack: what was never touched has its first page guarded. */
static void guard_below(void)
{
	struct piece piece = piece_new(PIECE_PAGES, 0);
	struct piece rest = {page_at(&piece, 1), PIECE_PAGES - 1, version_new()};

	if (install(&piece, 0, 1)) {
		piece_write(&rest);
		push_out(rest.at, rest.pages);
		guards_check(&piece, 0, 1);
		piece_check(&rest, "above a guard");
		push_out(rest.at, rest.pages);
		for (size_t page = rest.pages; page-- > 0;) /* towards the guard */
			part_check(&rest, page, 1, "above a guard, downwards");
		guards_check(&piece, 0, 1);
	}
	piece_free(&piece);
}

/* As behind a block: what is written up to the guard is not placed ahead over it. */
static void guard_above(void)
{
	struct piece piece = piece_new(PIECE_PAGES, 0);
	struct piece low = {piece.at, QUARTER, version_new()};
	struct piece high = {page_at(&piece, QUARTER), QUARTER, version_new()};

	if (install(&piece, HALF, HALF)) {
		piece_write(&low);
		push_out(low.at, QUARTER); /* it is adopted by then */
		piece_write(&high);
		guards_check(&piece, HALF, HALF);
		push_out(high.at, QUARTER);
		piece_check(&low, "below guards");
		piece_check(&high, "right below guards");
		guards_check(&piece, HALF, HALF);
	}
	piece_free(&piece);
}

/* Dropping what lies in the range leaves the guards. */
static void guard_and_drop(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	if (install(&piece, QUARTER, HALF)) {
		guards_check(&piece, QUARTER, HALF);
		must(madvise(piece.at, PIECE_BYTES, MADV_DONTNEED) == 0, "madvise");
		guards_check(&piece, QUARTER, HALF);
		zeros_check(piece.at, QUARTER, "dropped");
		push_out(piece.at, QUARTER);
		guards_check(&piece, QUARTER, HALF);
	} else {
		must(madvise(piece.at, PIECE_BYTES, MADV_DONTNEED) == 0, "madvise");
	}
	zeros_check(page_at(&piece, QUARTER + HALF), QUARTER, "dropped, behind");
	piece_free(&piece);
}

static void guard_and_split(pid_t (*split)(void))
{
	struct piece piece = piece_out(PIECE_PAGES);
	bool there = install(&piece, QUARTER, HALF);
	pid_t pid;

	push_out(piece.at, QUARTER);
	pid = split();
	must(pid >= 0, "no child");
	if (pid == 0) {
		ways_name = "a child";
		if (there)
			guards_check(&piece, QUARTER, HALF);
		sides_check(&piece, "inherited");
		_exit(0);
	}
	sides_check(&piece, "a parent");
	child_await(pid, "child");
	if (there)
		guards_check(&piece, QUARTER, HALF);
	piece_free(&piece);
}

static void guard_and_fork(void)
{
	guard_and_split(fork);
}

static void guard_and_clone(void)
{
	guard_and_split(clone_plain);
}

/* ---- System V shared memory over what is there ---- */

static void attach_over(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece shared = {page_at(&piece, QUARTER), HALF, version_new()};
	int id = shmget(IPC_PRIVATE, HALF * PAGE_BYTES, IPC_CREAT | 0600);
	uint64_t *second;

	if (id < 0 && (errno == ENOSYS || errno == ENOSPC)) {
		way_is_missing();
		piece_free(&piece);
		return;
	}
	must(id >= 0, "shmget");
	must(shmat(id, shared.at, 0) == (void *)-1 && errno == EINVAL, "shmat over memory");
	sides_check(&piece, "beside what was refused");
	part_check(&piece, QUARTER, HALF, "where it was refused");
	push_out(piece.at, PIECE_PAGES);
	must(shmat(id, shared.at, SHM_REMAP) == shared.at, "shmat");
	second = shmat(id, NULL, SHM_RDONLY);
	must(second != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0, "shmat, shmctl");
	zeros_check(shared.at, HALF, "attached");
	piece_write(&shared);
	words_check(second, 0, HALF, shared.version, "attached twice");
	push_out(piece.at, QUARTER);
	piece_check(&shared, "attached");
	sides_check(&piece, "beside what is attached");
	must(shmdt(shared.at) == 0 && shmdt(second) == 0, "shmdt");
	map_at(shared.at, HALF, MAP_FIXED_NOREPLACE);
	zeros_check(shared.at, HALF, "mapped where it was attached");
	piece_write(&shared);
	sides_check(&piece, "beside what was attached");
	piece_check(&shared, "written where it was attached");
	piece_free(&piece);
}

static const struct way ways[] = {
	{"guard", guard},
	{"guard-and-remove", guard_and_remove},
	{"guard-below", guard_below},
	{"guard-above", guard_above},
	{"guard-and-drop", guard_and_drop},
	{"guard-and-fork", guard_and_fork},
	{"guard-and-clone", guard_and_clone},
	{"shm-remap", attach_over},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
