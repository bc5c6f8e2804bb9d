#include "common/base/hist.h"
#include "tests/suite.h"

#include <stdbool.h>
#include <string.h>

#define LONGEST ((1ull << (HIST_OCTAVES + 3)) - 1)

static struct hist hist, other;

static void empty(void)
{
	memset(&hist, 0, sizeof(hist));
	memset(&other, 0, sizeof(other));
}

static uint64_t edge_of(uint64_t value)
{
	empty();
	hist_add(&hist, value);
	return hist_percentile(&hist, 1);
}

static void an_empty_one_has_nothing_to_tell(void)
{
	empty();
	CU_ASSERT_EQUAL(hist_count(&hist), 0);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0.5), 0);
}

static void small_values_are_exact(void)
{
	for (uint64_t value = 0; value < 2 * HIST_STEPS; value++)
		CU_ASSERT_EQUAL(edge_of(value), value);
}

static bool is_close(uint64_t value)
{
	uint64_t edge = edge_of(value);

	return edge >= value && edge - value <= value / HIST_STEPS;
}

static void every_value_is_known_to_a_sixteenth(void)
{
	for (unsigned bit = 0; bit < HIST_OCTAVES + 3; bit++) {
		uint64_t power = 1ull << bit;

		CU_ASSERT_TRUE(is_close(power - 1));
		CU_ASSERT_TRUE(is_close(power));
		CU_ASSERT_TRUE(is_close(power + 1 < LONGEST ? power + 1 : LONGEST));
		CU_ASSERT_TRUE(is_close(power + power / 2));
	}
}

static void an_edge_belongs_to_its_own_step(void)
{
	for (uint64_t value = 1; value < LONGEST; value = value * 9 / 8 + 1) {
		uint64_t edge = edge_of(value);

		CU_ASSERT_EQUAL(edge_of(edge), edge);
		CU_ASSERT_TRUE(edge_of(edge + 1) > edge || edge == LONGEST);
	}
}

static void longer_than_the_longest_counts_as_that(void)
{
	CU_ASSERT_EQUAL(edge_of(LONGEST), LONGEST);
	CU_ASSERT_EQUAL(edge_of(LONGEST + 1), LONGEST);
	CU_ASSERT_EQUAL(edge_of(UINT64_MAX), LONGEST);
	CU_ASSERT_EQUAL(hist.max, UINT64_MAX);
}

static void percentiles_split_the_count(void)
{
	empty();
	for (unsigned i = 0; i < 90; i++)
		hist_add(&hist, 1);
	for (unsigned i = 0; i < 9; i++)
		hist_add(&hist, 8);
	hist_add(&hist, 15);
	CU_ASSERT_EQUAL(hist_count(&hist), 100);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0.001), 1);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0.9), 1);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0.901), 8);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0.99), 8);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0.991), 15);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 1), 15);
}

static void a_share_out_of_range_is_the_nearest_one(void)
{
	empty();
	hist_add(&hist, 3);
	hist_add(&hist, 9);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0), 3);
	CU_ASSERT_EQUAL(hist_percentile(&hist, -1), 3);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 2), 9);
}

static void sum_and_max_are_of_all_values(void)
{
	empty();
	hist_add(&hist, 1000001);
	hist_add(&hist, 5);
	CU_ASSERT_EQUAL(hist.sum, 1000006);
	CU_ASSERT_EQUAL(hist.max, 1000001);
}

static void merging_adds_everything(void)
{
	empty();
	hist_add(&hist, 2);
	hist_add(&hist, 100);
	hist_add(&other, 7);
	hist_add(&other, 3000);
	hist_merge(&hist, &other);
	CU_ASSERT_EQUAL(hist_count(&hist), 4);
	CU_ASSERT_EQUAL(hist.sum, 3109);
	CU_ASSERT_EQUAL(hist.max, 3000);
	CU_ASSERT_EQUAL(hist_percentile(&hist, 0.5), 7);
	CU_ASSERT_EQUAL(hist_count(&other), 2);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(an_empty_one_has_nothing_to_tell),
		SUITE_TEST(small_values_are_exact),
		SUITE_TEST(every_value_is_known_to_a_sixteenth),
		SUITE_TEST(an_edge_belongs_to_its_own_step),
		SUITE_TEST(longer_than_the_longest_counts_as_that),
		SUITE_TEST(percentiles_split_the_count),
		SUITE_TEST(a_share_out_of_range_is_the_nearest_one),
		SUITE_TEST(sum_and_max_are_of_all_values),
		SUITE_TEST(merging_adds_everything),
		SUITE_END,
	};

	return suite_run("hist", tests);
}
