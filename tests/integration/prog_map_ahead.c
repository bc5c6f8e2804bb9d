/*
 * Goes through memory that is out so steadily that what comes next is fetched before it is asked
 * for, and then does something else with that than reading on: see ways.h. Of the donor, DONOR_PID
 * in the environment, it wants to know whether the pages come without it.
 */
#include "tests/integration/children.h"
#include "tests/integration/ways.h"

#include <spawn.h>
#include <sys/wait.h>

/* Windows of 1, 4, 8, 16, 32 and 32 pages; with the last one the next goes on its way. */
#define WALKED 93u
#define AHEAD 32u
#define WALK_PAGES 256u /* of a piece */
#define ARRIVE_US 100000
#define STREAMS 24u /* more than are held at a time */
#define STOPPED_S 2u

/* ---- pieces without pages of one word, which are no part of a window ---- */

static void plain_write(uint64_t *at, size_t first, size_t pages, uint64_t version)
{
	for (size_t page = first; page < first + pages; page++)
		page_write(at, page, version);
}

static void plain_check(const uint64_t *at, size_t first, size_t pages, uint64_t version,
			const char *what)
{
	char story[PAGE_STORY_BYTES];

	for (size_t page = first; page < first + pages; page++) {
		unsigned word = page_first_wrong(at, page, version);

		if (word < PAGE_WORDS)
			give_up("%s: %s", what, page_story(at, page, word, version, story));
	}
}

static struct piece plain_out(void)
{
	struct piece piece = piece_new(WALK_PAGES, 0);

	plain_write(piece.at, 0, piece.pages, piece.version);
	push_out(piece.at, piece.pages);
	return piece;
}

/* Reads until the window from WALKED on has been asked for, and lets it arrive. */
static struct piece walked(void)
{
	struct piece piece = plain_out();

	plain_check(piece.at, 0, WALKED, piece.version, "walked through");
	usleep(ARRIVE_US);
	return piece;
}

static void rest_check(const struct piece *piece, const char *what)
{
	plain_check(piece->at, WALKED + AHEAD, piece->pages - WALKED - AHEAD, piece->version, what);
}

static void ahead_check(const struct piece *piece, const char *what)
{
	plain_check(piece->at, WALKED, AHEAD, piece->version, what);
}

/* All as it was, now and when it has been out once more. */
static void over(const struct piece *piece)
{
	plain_check(piece->at, 0, piece->pages, piece->version, "afterwards");
	push_out(piece->at, piece->pages);
	plain_check(piece->at, 0, piece->pages, piece->version, "out and back afterwards");
	piece_free(piece);
}

/* ---- reading on ---- */

static void go_on(void)
{
	struct piece piece = walked();

	ahead_check(&piece, "gone on");
	rest_check(&piece, "gone on further");
	over(&piece);
}

static void go_down(void)
{
	struct piece piece = plain_out();

	for (size_t page = piece.pages; page-- > 0;)
		plain_check(piece.at, page, 1, piece.version, "downwards");
	over(&piece);
}

/* From its middle: nobody has come to the page that the window begins with. */
static void go_into(void)
{
	struct piece piece = walked();

	plain_write(piece.at, WALKED + AHEAD / 2, 1, piece.version + 1);
	plain_check(piece.at, WALKED + AHEAD / 2, 1, piece.version + 1, "written in the middle");
	plain_check(piece.at, WALKED, AHEAD / 2, piece.version, "before what is written");
	plain_write(piece.at, WALKED + AHEAD / 2, 1, piece.version);
	over(&piece);
}

/* By a process of its own: this one might want a page for it. Stopped when this returns. */
static pid_t stop_for_a_while(const char *donor)
{
	char order[128];
	char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", order, NULL};
	pid_t pid;

	snprintf(order, sizeof(order), "kill -STOP %s && sleep %u; kill -CONT %s", donor, STOPPED_S,
		 donor);
	must(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0, "posix_spawn");
	usleep(STOPPED_S * 1000000 / 4);
	return pid;
}

/* What was fetched ahead is here: it comes while the donor is stopped. */
static void without_donor(void)
{
	const char *donor = getenv("DONOR_PID");
	struct piece piece = walked();
	uint64_t begin;
	pid_t pid;

	/* In the first round some are lingering: then nothing is steady. */
	if (donor && ways_filler_pages && ways_round) {
		pid = stop_for_a_while(donor);
		begin = clock_ns();
		ahead_check(&piece, "while the donor is stopped");
		if (clock_ns() - begin > STOPPED_S * UINT64_C(500000000))
			give_up("nothing came while the donor was stopped");
		must(waitpid(pid, NULL, 0) == pid, "waitpid");
	}
	over(&piece);
}

/* More streams than are held at a time, each left behind for a while. */
static void many(void)
{
	struct piece pieces[STREAMS];

	for (unsigned i = 0; i < STREAMS; i++)
		pieces[i] = plain_out();
	for (unsigned i = 0; i < STREAMS; i++)
		plain_check(pieces[i].at, 0, WALKED, pieces[i].version, "one of many");
	usleep(2 * ARRIVE_US);
	for (unsigned i = STREAMS; i-- > 0;)
		plain_check(pieces[i].at, 0, WALK_PAGES, pieces[i].version, "one of many, later");
	for (unsigned i = 0; i < STREAMS; i++)
		piece_free(&pieces[i]);
}

/* ---- changing the map ---- */

static void drop(void)
{
	struct piece piece = walked();
	uint64_t *at = page_at(&piece, WALKED + 8);

	must(madvise(at, 8 * PAGE_BYTES, MADV_DONTNEED) == 0, "madvise");
	zeros_check(at, 8, "dropped");
	plain_check(piece.at, WALKED, 8, piece.version, "before what was dropped");
	plain_check(piece.at, WALKED + 16, AHEAD - 16, piece.version, "behind what was dropped");
	plain_write(piece.at, WALKED + 8, 8, piece.version);
	over(&piece);
}

static void replace(void)
{
	struct piece piece = walked();
	uint64_t *at = page_at(&piece, WALKED);

	pages_free(at, AHEAD);
	must(is_all_unmapped(at, AHEAD), "it is there");
	map_at(at, AHEAD, MAP_FIXED_NOREPLACE);
	zeros_check(at, AHEAD, "mapped again");
	plain_write(piece.at, WALKED, AHEAD, piece.version);
	over(&piece);
}

static void move(void)
{
	struct piece piece = walked();
	uint64_t *at = page_at(&piece, WALKED);
	size_t bytes = AHEAD / 2 * PAGE_BYTES;
	uint64_t *to = mremap(at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place_new());

	must(to != MAP_FAILED, "mremap");
	plain_check(to - WALKED * PAGE_WORDS, WALKED, AHEAD / 2, piece.version, "moved");
	plain_check(piece.at, WALKED + AHEAD / 2, AHEAD / 2, piece.version, "not moved");
	must(mremap(to, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at, "mremap");
	over(&piece);
}

static void protect(void)
{
	struct piece piece = walked();
	size_t bytes = AHEAD * PAGE_BYTES;

	must(mprotect(page_at(&piece, WALKED), bytes, PROT_NONE) == 0, "mprotect");
	rest_check(&piece, "behind what is protected");
	must(mprotect(page_at(&piece, WALKED), bytes, PROT_READ) == 0, "mprotect");
	ahead_check(&piece, "read-only");
	must(mprotect(page_at(&piece, WALKED), bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
	over(&piece);
}

/* ---- the kernel, and children ---- */

static void lock(void)
{
	struct piece piece = walked();
	void *at = page_at(&piece, WALKED);
	size_t bytes = AHEAD * PAGE_BYTES;

	if (mlock(at, bytes) < 0) {
		way_is_missing();
	} else {
		if (count_present(at, AHEAD) != AHEAD)
			give_up("locked pages are not here");
		must(munlock(at, bytes) == 0, "munlock");
	}
	over(&piece);
}

#define PIPE_PAGES 8u /* what a pipe takes at once */

static void write_out(void)
{
	static uint64_t copy[(WALKED + PIPE_PAGES) * PAGE_WORDS];
	struct piece piece = walked();
	ssize_t bytes = PIPE_PAGES * PAGE_BYTES;
	int fds[2];

	must(pipe(fds) == 0, "pipe");
	must(write(fds[1], page_at(&piece, WALKED), (size_t)bytes) == bytes, "write");
	must(read(fds[0], copy + WALKED * PAGE_WORDS, (size_t)bytes) == bytes, "read");
	plain_check(copy, WALKED, PIPE_PAGES, piece.version, "in a pipe");
	must(close(fds[0]) == 0 && close(fds[1]) == 0, "close");
	over(&piece);
}

static void split_by(pid_t (*split)(void))
{
	struct piece piece = walked();
	pid_t pid = split();

	must(pid >= 0, "no child");
	if (pid == 0) {
		ways_name = "a child";
		plain_check(piece.at, 0, piece.pages, piece.version, "inherited");
		_exit(0);
	}
	plain_write(piece.at, WALKED, AHEAD, piece.version + 1);
	child_await(pid, "child");
	plain_check(piece.at, WALKED, AHEAD, piece.version + 1, "written meanwhile");
	plain_write(piece.at, WALKED, AHEAD, piece.version);
	over(&piece);
}

static void by_fork(void)
{
	split_by(fork);
}

static void by_clone(void)
{
	split_by(clone_plain);
}

static const struct way ways[] = {
	{"go-on", go_on},	  {"go-down", go_down},
	{"go-into", go_into},	  {"without-donor", without_donor},
	{"many", many},		  {"drop", drop},
	{"replace", replace},	  {"move", move},
	{"protect", protect},	  {"lock", lock},
	{"write-out", write_out}, {"fork", by_fork},
	{"clone", by_clone},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
