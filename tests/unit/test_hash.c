#include "common/base/compiler.h"
#include "common/base/hash_vector.h"
#include "tests/suite.h"

#include <string.h>

static void hashes_are_xxh3s_own(void)
{
	/* XXH3_128bits of nothing, from the specification: a donor may hold pages for years. */
	struct hash128 hash = hash128_of("", 0);

	CU_ASSERT_EQUAL(hash.high, 0x99aa06d3014798d8ull);
	CU_ASSERT_EQUAL(hash.low, 0x6001c324468d497full);
}

static void every_flipped_bit_is_seen(void)
{
	static unsigned char page[PAGE_BYTES];
	struct hash128 whole;

	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (unsigned char)(i * 7);
	whole = hash128_of(page, sizeof(page));
	CU_ASSERT_TRUE(hash128_equal(whole, hash128_of(page, sizeof(page))));
	for (size_t bit = 0; bit < 8 * sizeof(page); bit += 5) {
		unsigned char mask = (unsigned char)(1u << (bit % 8));

		page[bit / 8] ^= mask;
		CU_ASSERT_FALSE(hash128_equal(whole, hash128_of(page, sizeof(page))));
		page[bit / 8] ^= mask;
	}
}

/* Every length that is computed in a way of its own, and what lies between whole vectors. */
static void every_cpu_has_the_same_hash(void)
{
	static unsigned char data[PAGE_BYTES + 64];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * i + (i >> 8));
	for (size_t len = 0; len <= PAGE_BYTES; len++) {
		const unsigned char *at = data + len % 64;

		CU_ASSERT_TRUE_FATAL(hash128_equal(hash128_of(at, len), hash128_plain(at, len)));
	}
}

static void length_is_part_of_the_content(void)
{
	static const char zeros[64];

	CU_ASSERT_FALSE(hash128_equal(hash128_of(zeros, 32), hash128_of(zeros, 33)));
}

static void alignment_does_not_matter(void)
{
	static char room[PAGE_BYTES + 8];
	struct hash128 first;

	memset(room, 'x', sizeof(room));
	first = hash128_of(room, PAGE_BYTES);
	for (int shift = 1; shift < 8; shift++)
		CU_ASSERT_TRUE(hash128_equal(first, hash128_of(room + shift, PAGE_BYTES)));
}

static void both_halves_must_agree(void)
{
	struct hash128 a = {1, 2};

	CU_ASSERT_TRUE(hash128_equal(a, (struct hash128){1, 2}));
	CU_ASSERT_FALSE(hash128_equal(a, (struct hash128){1, 3}));
	CU_ASSERT_FALSE(hash128_equal(a, (struct hash128){3, 2}));
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(hashes_are_xxh3s_own),
		SUITE_TEST(every_flipped_bit_is_seen),
		SUITE_TEST(every_cpu_has_the_same_hash),
		SUITE_TEST(length_is_part_of_the_content),
		SUITE_TEST(alignment_does_not_matter),
		SUITE_TEST(both_halves_must_agree),
		SUITE_END,
	};

	return suite_run("hash", tests);
}
