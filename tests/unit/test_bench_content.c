#include "tests/bench/content.h"
#include "tests/suite.h"

#include <string.h>

#define SEED 7
#define PAGE 1234567

static uint64_t words[CONTENT_WORDS];

static void a_page_is_recognized_as_what_was_written(void)
{
	content_fill(words, SEED, PAGE, 3);
	CU_ASSERT_EQUAL(words[CONTENT_VERSION_WORD], 3);
	CU_ASSERT_TRUE(content_check_sum(words, SEED, PAGE, 3));
	CU_ASSERT_EQUAL(content_first_wrong(words, SEED, PAGE, 3), CONTENT_WORDS);
	for (uint64_t random = 0; random < 100000; random++)
		if (!content_check_some(words, SEED, PAGE, 3, content_mix(random)))
			CU_FAIL_FATAL("a good page is refused");
}

static void another_page_or_version_is_refused(void)
{
	content_fill(words, SEED, PAGE, 3);
	CU_ASSERT_FALSE(content_check_some(words, SEED, PAGE + 1, 3, 0));
	CU_ASSERT_FALSE(content_check_some(words, SEED, PAGE, 2, 0));
	CU_ASSERT_FALSE(content_check_some(words, SEED + 1, PAGE, 3, 0));
	CU_ASSERT_FALSE(content_check_sum(words, SEED, PAGE + 1, 3));
	CU_ASSERT_FALSE(content_check_sum(words, SEED, PAGE, 2));
	CU_ASSERT_EQUAL(content_first_wrong(words, SEED, PAGE + 1, 3), 0);
	CU_ASSERT_EQUAL(content_first_wrong(words, SEED, PAGE, 2), CONTENT_VERSION_WORD);
}

static void a_page_of_zeros_is_refused(void)
{
	memset(words, 0, sizeof(words));
	CU_ASSERT_FALSE(content_check_some(words, SEED, 0, 0, 0));
	CU_ASSERT_FALSE(content_check_sum(words, SEED, 0, 0));
	CU_ASSERT_NOT_EQUAL(content_first_wrong(words, SEED, 0, 0), CONTENT_WORDS);
}

static void a_flipped_bit_is_found_wherever_it_is(void)
{
	content_fill(words, SEED, PAGE, 3);
	for (unsigned i = 0; i < CONTENT_WORDS; i++) {
		words[i] ^= (uint64_t)1 << (i % 64);
		if (content_check_sum(words, SEED, PAGE, 3))
			CU_FAIL("the sum does not see it");
		if (content_first_wrong(words, SEED, PAGE, 3) != i)
			CU_FAIL("the exact check does not name it");
		words[i] ^= (uint64_t)1 << (i % 64);
	}
}

static void an_update_makes_what_a_fill_would_have_made(void)
{
	static uint64_t fresh[CONTENT_WORDS];

	content_fill(words, SEED, PAGE, 3);
	content_update(words, SEED, PAGE, 3, 900);
	words[CONTENT_VERSION_WORD] = 900;
	content_fill(fresh, SEED, PAGE, 900);
	CU_ASSERT_EQUAL(memcmp(words, fresh, sizeof(words)), 0);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_page_is_recognized_as_what_was_written),
		SUITE_TEST(another_page_or_version_is_refused),
		SUITE_TEST(a_page_of_zeros_is_refused),
		SUITE_TEST(a_flipped_bit_is_found_wherever_it_is),
		SUITE_TEST(an_update_makes_what_a_fill_would_have_made),
		SUITE_END,
	};

	return suite_run("bench_content", tests);
}
