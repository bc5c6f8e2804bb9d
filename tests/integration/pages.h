/* Memory that a test program knows word by word, and what it says of a page that is wrong. */
#ifndef TESTS_INTEGRATION_PAGES_H
#define TESTS_INTEGRATION_PAGES_H

#include "common/base/compiler.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define PAGE_STORY_BYTES 256

/* What belongs there: no two words of a version are alike, and none is zero but by chance. */
static inline uint64_t page_word(size_t page, unsigned word, uint64_t version)
{
	return (page * PAGE_WORDS + word + 1) * 0x9e3779b97f4a7c15u + version;
}

static inline void page_write(uint64_t *memory, size_t page, uint64_t version)
{
	for (unsigned word = 0; word < PAGE_WORDS; word++)
		memory[page * PAGE_WORDS + word] = page_word(page, word, version);
}

/* The first word of the page that is wrong, or PAGE_WORDS. */
static inline unsigned page_first_wrong(const uint64_t *memory, size_t page, uint64_t version)
{
	unsigned word = 0;

	while (word < PAGE_WORDS &&
	       memory[page * PAGE_WORDS + word] == page_word(page, word, version))
		word++;
	return word;
}

static inline unsigned page_count_wrong(const volatile uint64_t *memory, size_t page,
					uint64_t version)
{
	unsigned n = 0;

	for (unsigned word = 0; word < PAGE_WORDS; word++)
		n += memory[page * PAGE_WORDS + word] != page_word(page, word, version);
	return n;
}

/* Also whether it stays so: a wrong page in memory does, a wrong look at it need not. */
static inline const char *page_story(const volatile uint64_t *memory, size_t page, unsigned word,
				     uint64_t version, char out[PAGE_STORY_BYTES])
{
	uint64_t got = memory[page * PAGE_WORDS + word];
	unsigned wrong = page_count_wrong(memory, page, version);

	usleep(10000);
	snprintf(out, PAGE_STORY_BYTES,
		 "page %zu word %u is %#llx, not %#llx (version %llu); %u words of the page are "
		 "wrong, and a moment later %u",
		 page, word, (unsigned long long)got,
		 (unsigned long long)page_word(page, word, version), (unsigned long long)version,
		 wrong, page_count_wrong(memory, page, version));
	return out;
}

#endif
