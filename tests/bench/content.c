#include "tests/bench/content.h"

#define BALANCE_WORD (CONTENT_WORDS - 1)

/* Besides the version itself: far apart, so that a page put together from two others is found. */
static const unsigned stamp_words[] = {170, 340};

static uint64_t stamp(uint64_t seed, uint64_t page, uint64_t version, unsigned word)
{
	return content_mix(seed + page * CONTENT_WORDS + word + (version << 40));
}

static uint64_t body(uint64_t seed, uint64_t page, unsigned word)
{
	return content_mix(~seed + page * CONTENT_WORDS + word);
}

static uint64_t expected_sum(uint64_t seed, uint64_t page)
{
	return content_mix(seed ^ ~page);
}

static uint64_t sum(const uint64_t *words)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < CONTENT_WORDS; i++)
		total += words[i];
	return total;
}

static bool is_stamp(unsigned word)
{
	for (unsigned i = 0; i < ARRAY_LEN(stamp_words); i++)
		if (word == stamp_words[i])
			return true;
	return false;
}

static uint64_t expected_word(uint64_t seed, uint64_t page, uint64_t version, unsigned word)
{
	if (word == 0)
		return page;
	if (word == CONTENT_VERSION_WORD)
		return version;
	if (is_stamp(word))
		return stamp(seed, page, version, word);
	return body(seed, page, word);
}

void content_fill(uint64_t *words, uint64_t seed, uint64_t page, uint64_t version)
{
	for (unsigned i = 0; i < BALANCE_WORD; i++)
		words[i] = expected_word(seed, page, version, i);
	words[BALANCE_WORD] = 0;
	words[BALANCE_WORD] = expected_sum(seed, page) - sum(words);
}

void content_update(uint64_t *words, uint64_t seed, uint64_t page, uint64_t old_version,
		    uint64_t new_version)
{
	uint64_t balance = words[BALANCE_WORD] - (new_version - old_version);

	for (unsigned i = 0; i < ARRAY_LEN(stamp_words); i++) {
		unsigned word = stamp_words[i];
		uint64_t fresh = stamp(seed, page, new_version, word);

		balance -= fresh - words[word];
		words[word] = fresh;
	}
	words[BALANCE_WORD] = balance;
}

bool content_check_some(const uint64_t *words, uint64_t seed, uint64_t page, uint64_t version,
			uint64_t random)
{
	bool right = words[0] == page;

	for (unsigned i = 0; i < ARRAY_LEN(stamp_words); i++)
		right &= words[stamp_words[i]] == stamp(seed, page, version, stamp_words[i]);
	for (unsigned i = 0; i < 2; i++) {
		/* Of the words that are body wherever this falls: 2 to 169 and 341 to 508. */
		unsigned word = (i ? 341 : 2) + (unsigned)((random >> (i * 16)) & 0xffff) % 168;

		right &= words[word] == body(seed, page, word);
	}
	return right;
}

bool content_check_sum(const uint64_t *words, uint64_t seed, uint64_t page, uint64_t version)
{
	return words[0] == page && words[CONTENT_VERSION_WORD] == version &&
	       sum(words) == expected_sum(seed, page);
}

unsigned content_first_wrong(const uint64_t *words, uint64_t seed, uint64_t page, uint64_t version)
{
	for (unsigned i = 0; i < BALANCE_WORD; i++)
		if (words[i] != expected_word(seed, page, version, i))
			return i;
	return sum(words) == expected_sum(seed, page) ? CONTENT_WORDS : BALANCE_WORD;
}
