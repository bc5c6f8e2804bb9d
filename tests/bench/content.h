/*
 * What the benchmark keeps in its pages: words that do not compress, that say which page and which
 * version of it they belong to, and that can be checked in a few nanoseconds at a few places or
 * exactly and wholly. Pure functions of (seed, page, version).
 *
 *      word 0      1         170, 340              511       all others
 *      ┌────────┬─────────┬─────────────────────┬─────────┬──────────────────────┐
 *      │ page   │ version │ mix(page, version)  │ balance │ mix(page, word)      │
 *      └────────┴─────────┴─────────────────────┴─────────┴──────────────────────┘
 *
 * The balance makes the sum of all words what the page number says, so that a reader of the whole
 * page checks it at the speed of memory.
 */
#ifndef TESTS_BENCH_CONTENT_H
#define TESTS_BENCH_CONTENT_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define CONTENT_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define CONTENT_VERSION_WORD 1

/* Good mixing of 64 bits: the finalizer of splitmix64 (Steele, Lea, Flood, 2014). */
static inline uint64_t content_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Writes the whole page. */
void content_fill(uint64_t *words, uint64_t seed, uint64_t page, uint64_t version);

/*
 * Turns a page of old_version into new_version; the version word itself is the caller's to write,
 * before or after.
 */
void content_update(uint64_t *words, uint64_t seed, uint64_t page, uint64_t old_version,
		    uint64_t new_version);

/* What tells page and version apart (not the version word), and two words that `random` chooses. */
bool content_check_some(const uint64_t *words, uint64_t seed, uint64_t page, uint64_t version,
			uint64_t random);

/* Reads all words: their sum, and page and version. */
bool content_check_sum(const uint64_t *words, uint64_t seed, uint64_t page, uint64_t version);

/* Every word exactly. Returns CONTENT_WORDS, or the first word that is wrong. */
unsigned content_first_wrong(const uint64_t *words, uint64_t seed, uint64_t page, uint64_t version);

#endif
