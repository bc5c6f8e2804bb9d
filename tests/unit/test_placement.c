#include "pager/placement.h"

#include "tests/suite.h"

#include <string.h>

#define MS UINT64_C(1000000)

static struct placement_donor donor(uint64_t free, uint64_t room)
{
	return (struct placement_donor){.slab_slots = 4096, .free = free, .room = room};
}

static void quiet_programs_have_64_mib_ahead(void)
{
	CU_ASSERT_EQUAL(placement_target(0), 16384);
	CU_ASSERT_EQUAL(placement_target(8192), 16384);
}

static void busy_programs_have_twice_what_they_took(void)
{
	CU_ASSERT_EQUAL(placement_target(8193), 16386);
	CU_ASSERT_EQUAL(placement_target(100000), 200000);
}

static void demand_is_what_was_taken_in_200_ms(void)
{
	struct placement_demand demand;
	uint64_t now, taken = 0, recent = 0;

	memset(&demand, 0, sizeof(demand));
	for (now = 1000 * MS; now < 3000 * MS; now += 5 * MS) {
		taken += 50; /* ten a millisecond */
		recent = placement_demand(&demand, now, taken);
	}
	CU_ASSERT(recent >= 1500 && recent <= 2050);
	for (; now < 3300 * MS; now += 5 * MS)
		recent = placement_demand(&demand, now, taken);
	CU_ASSERT_EQUAL(recent, 0);
}

static void a_burst_counts_at_once(void)
{
	struct placement_demand demand;

	memset(&demand, 0, sizeof(demand));
	CU_ASSERT_EQUAL(placement_demand(&demand, 1000 * MS, 0), 0);
	CU_ASSERT_EQUAL(placement_demand(&demand, 1001 * MS, 70000), 70000);
}

static void slabs_spread_evenly_over_donors(void)
{
	struct placement_donor donors[] = {donor(0, 100), donor(0, 100), donor(0, 100)};

	placement_share(donors, 3, 4096 * 9);
	CU_ASSERT_EQUAL(donors[0].asked, 3);
	CU_ASSERT_EQUAL(donors[1].asked, 3);
	CU_ASSERT_EQUAL(donors[2].asked, 3);
}

static void the_donor_with_fewest_free_slots_is_asked(void)
{
	struct placement_donor donors[] = {donor(8192, 100), donor(0, 100)};

	placement_share(donors, 2, 16384);
	CU_ASSERT_EQUAL(donors[0].asked, 0);
	CU_ASSERT_EQUAL(donors[1].asked, 2);
}

static void of_equals_the_one_with_most_room_is_asked(void)
{
	struct placement_donor donors[] = {donor(0, 5), donor(0, 50)};

	placement_share(donors, 2, 1);
	CU_ASSERT_EQUAL(donors[0].asked, 0);
	CU_ASSERT_EQUAL(donors[1].asked, 1);
}

static void what_is_under_way_is_not_asked_for_again(void)
{
	struct placement_donor donors[] = {donor(0, 100)};

	donors[0].asked = 4;
	placement_share(donors, 1, 16384);
	CU_ASSERT_EQUAL(donors[0].asked, 4);
	placement_share(donors, 1, 16385);
	CU_ASSERT_EQUAL(donors[0].asked, 5);
}

static void a_donor_is_not_asked_for_more_than_it_has(void)
{
	struct placement_donor donors[] = {donor(0, 2), donor(0, 0), donor(0, 3)};

	placement_share(donors, 3, UINT64_MAX);
	CU_ASSERT_EQUAL(donors[0].asked, 2);
	CU_ASSERT_EQUAL(donors[1].asked, 0);
	CU_ASSERT_EQUAL(donors[2].asked, 3);
}

static void a_donor_that_is_away_is_not_asked(void)
{
	struct placement_donor donors[] = {{.slab_slots = 0, .room = 9}, donor(0, 9)};

	placement_share(donors, 2, 4096 * 4);
	CU_ASSERT_EQUAL(donors[0].asked, 0);
	CU_ASSERT_EQUAL(donors[1].asked, 4);
}

static void full_means_nothing_here_or_coming_or_to_be_had(void)
{
	struct placement_donor donors[] = {donor(0, 0), {.slab_slots = 0, .room = 9}};

	CU_ASSERT_TRUE(placement_is_full(donors, 0));
	CU_ASSERT_TRUE(placement_is_full(donors, 2));
	donors[0].free = 1;
	CU_ASSERT_FALSE(placement_is_full(donors, 2));
	donors[0] = donor(0, 1);
	CU_ASSERT_FALSE(placement_is_full(donors, 2));
	donors[0].asked = 1; /* all it has is on its way */
	CU_ASSERT_FALSE(placement_is_full(donors, 2));
}

static void the_donor_with_most_free_slots_has_a_slab_back(void)
{
	struct placement_donor donors[] = {donor(20000, 0), donor(30000, 0)};
	const uint32_t leased[] = {9, 9};
	bool tried[] = {false, false};

	CU_ASSERT_EQUAL(placement_surplus(donors, leased, tried, 2, 16384), 1);
	tried[1] = true;
	CU_ASSERT_EQUAL(placement_surplus(donors, leased, tried, 2, 16384), 0);
	tried[0] = true;
	CU_ASSERT_EQUAL(placement_surplus(donors, leased, tried, 2, 16384), 2);
}

static void nothing_goes_back_that_would_be_asked_for_again(void)
{
	struct placement_donor donors[] = {donor(2 * 16384 + 4095, 0)};
	const uint32_t leased[] = {20};
	const bool tried[] = {false};

	CU_ASSERT_EQUAL(placement_surplus(donors, leased, tried, 1, 16384), 1);
	donors[0].free++;
	CU_ASSERT_EQUAL(placement_surplus(donors, leased, tried, 1, 16384), 0);
}

static void every_donor_keeps_lending_a_little(void)
{
	struct placement_donor donors[] = {donor(1000000, 0)};
	const uint32_t leased[] = {PLACEMENT_KEEP};
	const bool tried[] = {false};

	CU_ASSERT_EQUAL(placement_surplus(donors, leased, tried, 1, 0), 1);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(quiet_programs_have_64_mib_ahead),
		SUITE_TEST(busy_programs_have_twice_what_they_took),
		SUITE_TEST(demand_is_what_was_taken_in_200_ms),
		SUITE_TEST(a_burst_counts_at_once),
		SUITE_TEST(slabs_spread_evenly_over_donors),
		SUITE_TEST(the_donor_with_fewest_free_slots_is_asked),
		SUITE_TEST(of_equals_the_one_with_most_room_is_asked),
		SUITE_TEST(what_is_under_way_is_not_asked_for_again),
		SUITE_TEST(a_donor_is_not_asked_for_more_than_it_has),
		SUITE_TEST(a_donor_that_is_away_is_not_asked),
		SUITE_TEST(full_means_nothing_here_or_coming_or_to_be_had),
		SUITE_TEST(the_donor_with_most_free_slots_has_a_slab_back),
		SUITE_TEST(nothing_goes_back_that_would_be_asked_for_again),
		SUITE_TEST(every_donor_keeps_lending_a_little),
		SUITE_END,
	};

	return suite_run("placement", tests);
}
