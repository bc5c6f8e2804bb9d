/*
 * What the programs have in common that do things to memory while it is out: pieces of memory that
 * are known word by word, a way to have them taken out, and the list of ways to be gone through.
 *
 *   PROGRAM MIB [WAY...]      all of its ways without one
 *
 * MIB is what lies beside the pieces, and is read to push them out: several times the budget. With
 * 0 nothing is pushed anywhere and nothing must be out: a run without libpager, to see that the
 * program wants nothing that the kernel does not do. One line for each way, "NAME right"; whatever
 * is wrong ends the program (give_up.h).
 *
 * Pieces lie apart from each other, and from all that the kernel places by itself.
 */
#ifndef TESTS_INTEGRATION_WAYS_H
#define TESTS_INTEGRATION_WAYS_H

#include "common/base/clock.h"
#include "tests/integration/give_up.h"
#include "tests/integration/must.h"
#include "tests/integration/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PIECE_PAGES 512u
#define PIECE_BYTES (PIECE_PAGES * PAGE_BYTES)
#define PIECE_MAX_PAGES (4 * PIECE_PAGES)
#define PIECE_APART (UINT64_C(64) << 20)
#define PIECES_AT UINT64_C(0x7e9000000000) /* below what is random, above what sanitizers use */
#define WAYS_ROUNDS 2 /* what has just left and is lingering; what has left for good */
#define WAYS_WAIT_NS 60000000000u
#define PUSH_PAGES 64u /* between two looks */

struct piece {
	uint64_t *at;
	size_t pages;
	uint64_t version; /* no two pieces are alike */
};

struct way {
	const char *name;
	void (*run)(void); /* twice; calls way_is_missing() if the kernel has no such thing */
};

static uint64_t *ways_filler;
static size_t ways_filler_pages, ways_filler_at;
static size_t ways_budget_pages; /* what is read for all before to be gone */
static const char *ways_name;
static unsigned ways_round;
static uint64_t ways_out; /* pages that were out when they were to be */
static bool ways_missing;

static inline void ways_say(void)
{
	fprintf(stderr, "%s, round %u: ", ways_name ? ways_name : "start", ways_round);
}

static inline void way_is_missing(void)
{
	ways_missing = true;
}

/* ---- what belongs there ---- */

/* Some pages are one word, one is zeros: these are nowhere when they are out. */
static inline uint64_t piece_word(size_t page, unsigned word, uint64_t version)
{
	if (page == 77)
		return 0;
	return page_word(page, page % 8 == 5 ? 0 : word, version);
}

/* Writes what belongs to pages from `first` on. */
static inline void words_write(uint64_t *at, size_t first, size_t pages, uint64_t version)
{
	for (size_t page = 0; page < pages; page++)
		for (unsigned word = 0; word < PAGE_WORDS; word++)
			at[page * PAGE_WORDS + word] = piece_word(first + page, word, version);
}

/* `version` 0 is zeros. */
static inline void words_check(const uint64_t *at, size_t first, size_t pages, uint64_t version,
			       const char *what)
{
	for (size_t page = 0; page < pages; page++) {
		for (unsigned word = 0; word < PAGE_WORDS; word++) {
			const volatile uint64_t *place = at + page * PAGE_WORDS + word;
			uint64_t want = version ? piece_word(first + page, word, version) : 0;
			uint64_t got = *place;

			if (UNLIKELY(got != want))
				give_up("%s: page %zu word %u at %p is %#llx, not %#llx; "
					"a moment later %#llx",
					what, first + page, word,
					(const void *)(at + page * PAGE_WORDS),
					(unsigned long long)got, (unsigned long long)want,
					(unsigned long long)*place);
		}
	}
}

static inline void zeros_check(const void *at, size_t pages, const char *what)
{
	words_check(at, 0, pages, 0, what);
}

/* ---- pieces ---- */

static inline uint64_t *page_at(const struct piece *piece, size_t page)
{
	return piece->at + page * PAGE_WORDS;
}

static inline void piece_write(const struct piece *piece)
{
	words_write(piece->at, 0, piece->pages, piece->version);
}

static inline void part_check(const struct piece *piece, size_t first, size_t pages,
			      const char *what)
{
	words_check(page_at(piece, first), first, pages, piece->version, what);
}

static inline void piece_check(const struct piece *piece, const char *what)
{
	part_check(piece, 0, piece->pages, what);
}

/* An address at which nothing is, PIECE_APART from the next. */
static inline void *place_new(void)
{
	static uint64_t next = PIECES_AT;

	next += PIECE_APART;
	return (void *)(uintptr_t)next;
}

static inline uint64_t version_new(void)
{
	static uint64_t last;

	return last += UINT64_C(0x100000001);
}

static inline struct piece piece_new(size_t pages, int flags)
{
	struct piece piece = {map_at(place_new(), pages, MAP_FIXED_NOREPLACE | flags), pages,
			      version_new()};

	return piece;
}

static inline void piece_free(const struct piece *piece)
{
	pages_free(piece->at, piece->pages);
}

/* ---- out ---- */

static inline size_t count_present(const void *at, size_t pages)
{
	static unsigned char there[PIECE_MAX_PAGES];
	size_t n = 0;

	if (pages > PIECE_MAX_PAGES)
		give_up("%zu pages are more than a piece may have", pages);
	must(mincore((void *)(uintptr_t)at, pages * PAGE_BYTES, there) == 0, "mincore");
	for (size_t page = 0; page < pages; page++)
		n += there[page] & 1;
	return n;
}

/* Whether nothing at all is mapped in some page of the range. */
static inline bool has_hole(const void *at, size_t pages)
{
	static unsigned char there[PIECE_MAX_PAGES];

	return mincore((void *)(uintptr_t)at, pages * PAGE_BYTES, there) && errno == ENOMEM;
}

static inline bool is_all_unmapped(const void *at, size_t pages)
{
	const char *page = at;

	for (size_t i = 0; i < pages; i++)
		if (!has_hole(page + i * PAGE_BYTES, 1))
			return false;
	return true;
}

/* Reads a little of the other memory, whose place must come from somewhere. */
static inline void push_a_little(size_t pages)
{
	for (size_t i = 0; i < pages && ways_filler_pages; i++) {
		ways_filler_at = (ways_filler_at + 1) % ways_filler_pages;
		if (ways_filler[ways_filler_at * PAGE_WORDS] != page_word(ways_filler_at, 0, 0))
			give_up("page %zu of the other memory is wrong", ways_filler_at);
	}
}

/*
 * Less than 1 MiB of new memory is not looked for while the address space is as large as before
 * (GROWN_PAGES in pager/adopt.c). So it gets a page larger, or smaller.
 */
static inline void change_size(void)
{
	static void *extra;

	if (extra) {
		pages_free(extra, 1);
		extra = NULL;
	} else {
		extra = map_at(NULL, 1, 0);
	}
}

/*
 * Until three of four pages are out; in the second round also until what followed them is.
 */
static inline void push_out(const void *at, size_t pages)
{
	uint64_t deadline = clock_ns() + WAYS_WAIT_NS;
	size_t present, turn;

	for (turn = 0; ways_filler_pages && (present = count_present(at, pages)) > pages / 4;
	     turn++) {
		if (clock_ns() > deadline)
			give_up("%zu of %zu pages are still here", present, pages);
		if (turn % 64 == 0)
			change_size();
		push_a_little(PUSH_PAGES);
	}
	if (ways_round)
		push_a_little(ways_budget_pages);
	if (ways_filler_pages)
		ways_out += pages - count_present(at, pages);
}

/* One that is known, and mostly out. */
static inline struct piece piece_out(size_t pages)
{
	struct piece piece = piece_new(pages, 0);

	piece_write(&piece);
	push_out(piece.at, pages);
	return piece;
}

/* Once more out and back: what has been done to it is in the books. */
static inline void piece_check_again(const struct piece *piece, const char *what)
{
	piece_check(piece, what);
	push_out(piece->at, piece->pages);
	piece_check(piece, "out and back afterwards");
}

/* ---- going through them ---- */

static inline void way_go(const struct way *way)
{
	ways_name = way->name;
	ways_out = 0;
	ways_missing = false;
	for (ways_round = 0; ways_round < WAYS_ROUNDS && !ways_missing; ways_round++)
		way->run();
	if (ways_filler_pages && !ways_out && !ways_missing)
		give_up("nothing was out: the test is wrong");
	printf("%s %s\n", way->name, ways_missing ? "is not here" : "right");
	fflush(stdout);
}

static inline void ways_fill(const char *mib)
{
	ways_filler_pages = (strtoull(mib, NULL, 10) << 20) / PAGE_BYTES;
	ways_budget_pages = ways_filler_pages / 4;
	if (!ways_filler_pages)
		return;
	ways_filler = map_at(NULL, ways_filler_pages, 0);
	for (size_t page = 0; page < ways_filler_pages; page++)
		page_write(ways_filler, page, 0);
}

static inline bool is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc == 2;
}

static inline int ways_main(const struct way *ways, size_t count, int argc, char **argv)
{
	static char buffer[BUFSIZ]; /* no allocation in the middle of what is tried */

	give_up_first = ways_say;
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	if (argc < 2)
		give_up("usage: MIB [WAY...]");
	ways_fill(argv[1]);
	for (size_t i = 0; i < count; i++)
		if (is_wanted(ways[i].name, argc, argv))
			way_go(&ways[i]);
	ways_name = "afterwards";
	for (size_t page = 0; page < ways_filler_pages; page++)
		if (page_first_wrong(ways_filler, page, 0) < PAGE_WORDS)
			give_up("page %zu of the other memory is wrong", page);
	return 0;
}

#endif
