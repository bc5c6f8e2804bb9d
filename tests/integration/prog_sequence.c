/*
 * Fills memory, goes through it from end to end so that all of it has been out, and then up and
 * down with a look at the clock. Every word is checked. Says what a page took, in ns:
 *
 *   prog_sequence MIB
 *   up NANOSECONDS
 *   down NANOSECONDS
 */
#include "common/base/clock.h"
#include "tests/integration/give_up.h"
#include "tests/integration/must.h"
#include "tests/integration/pages.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

static uint64_t *memory;
static size_t pages;

static void check(size_t page)
{
	char story[PAGE_STORY_BYTES];
	unsigned word = page_first_wrong(memory, page, 0);

	if (word < PAGE_WORDS)
		give_up("%s", page_story(memory, page, word, 0, story));
}

/* What a page took. */
static uint64_t go_through(bool down)
{
	uint64_t begin = clock_ns();

	for (size_t i = 0; i < pages; i++)
		check(down ? pages - 1 - i : i);
	return (clock_ns() - begin) / pages;
}

int main(int argc, char **argv)
{
	if (argc != 2 || !(pages = (strtoull(argv[1], NULL, 10) << 20) / PAGE_BYTES))
		give_up("usage: MIB");
	memory = map_at(NULL, pages, 0);
	for (size_t page = 0; page < pages; page++)
		page_write(memory, page, 0);
	(void)go_through(false);
	printf("up %" PRIu64 "\n", go_through(false));
	printf("down %" PRIu64 "\n", go_through(true));
	return 0;
}
