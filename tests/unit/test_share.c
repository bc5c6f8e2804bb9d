#include "pager/share.h"

#include "common/base/compiler.h"
#include "tests/suite.h"

#define MS UINT64_C(1000000)
#define TOTAL 65536u
#define LEAST 2048u
#define MANY 1000u /* pages a second */
#define TURN (50 * MS)

static uint64_t share(const struct share_member *members, unsigned n, unsigned self)
{
	return share_of(members, n, self, TOTAL, LEAST, TURN);
}

static void one_alone_may_have_all(void)
{
	struct share_member one = {.used = 100};

	CU_ASSERT_EQUAL(share(&one, 1, 0), TOTAL);
	one = (struct share_member){.used = TOTAL, .missing = MANY, .grows = true};
	CU_ASSERT_EQUAL(share(&one, 1, 0), TOTAL);
}

static void small_ones_take_nothing_from_a_large_one(void)
{
	struct share_member members[20] = {{.used = TOTAL / 2, .grows = true}};

	for (unsigned i = 1; i < ARRAY_LEN(members); i++)
		members[i].used = 50;
	CU_ASSERT_EQUAL(share(members, ARRAY_LEN(members), 0), TOTAL - 19 * 50);
}

static void those_that_grow_get_equal_parts_of_what_is_left(void)
{
	struct share_member members[] = {
		{.used = 10000, .grows = true}, {.used = 30000, .grows = true}, {.used = 5536}};

	CU_ASSERT_EQUAL(share(members, 3, 0), 10000 + 10000);
	CU_ASSERT_EQUAL(share(members, 3, 1), 30000 + 10000);
}

static void together_they_never_get_more_than_there_is(void)
{
	struct share_member members[] = {{.used = 10000, .grows = true, .missing = MANY},
					 {.used = 30000, .grows = true, .missing = MANY},
					 {.used = 20000, .grows = true, .missing = MANY}};
	uint64_t sum = 0;

	for (unsigned i = 0; i < 3; i++)
		sum += share(members, 3, i);
	CU_ASSERT(sum <= TOTAL);
}

static void everybody_has_the_least(void)
{
	struct share_member members[] = {{.used = TOTAL, .grows = true}, {.used = 10}};

	CU_ASSERT_EQUAL(share(members, 2, 1), LEAST);
	members[0].used = 2 * TOTAL;
	CU_ASSERT_EQUAL(share(members, 2, 1), LEAST);
}

static void who_misses_nothing_gives_to_who_does(void)
{
	struct share_member members[] = {{.used = TOTAL - 6000},
					 {.used = 5900, .missing = MANY, .grows = true}};

	CU_ASSERT(share(members, 2, 0) < members[0].used);
	CU_ASSERT(share(members, 2, 1) > members[1].used);
}

static void it_gives_half_in_two_seconds_and_no_more_at_once(void)
{
	struct share_member members[] = {{.used = TOTAL - 6000},
					 {.used = 6000, .missing = MANY, .grows = true}};
	uint64_t used = members[0].used;

	for (unsigned i = 0; i < 40; i++)
		members[0].used = share(members, 2, 0);
	CU_ASSERT(members[0].used > used / 2);
	members[1].used = TOTAL - members[0].used; /* it takes what it gets */
	members[0].used = used;
	members[1].used = 6000;
	CU_ASSERT(share_of(members, 2, 0, TOTAL, LEAST, 3600000 * MS) >= used / 2 - 1024);
}

static void nothing_moves_while_there_is_room(void)
{
	struct share_member members[] = {{.used = TOTAL / 2},
					 {.used = TOTAL / 4, .missing = MANY, .grows = true}};

	CU_ASSERT(share(members, 2, 0) >= members[0].used);
}

static void nothing_moves_between_those_that_miss_as_often(void)
{
	struct share_member members[] = {{.used = TOTAL - 20000, .missing = MANY, .grows = true},
					 {.used = 20000, .missing = MANY * 3 / 2, .grows = true}};

	CU_ASSERT_EQUAL(share(members, 2, 0), members[0].used);
	CU_ASSERT_EQUAL(share(members, 2, 1), members[1].used);
}

static void a_few_faults_are_no_need(void)
{
	struct share_member members[] = {{.used = TOTAL - 20000},
					 {.used = 20000, .missing = 20, .grows = true}};

	CU_ASSERT_EQUAL(share(members, 2, 0), members[0].used);
}

static void an_excess_is_given_up_by_those_with_more_than_an_equal_part(void)
{
	struct share_member members[] = {{.used = 4 * TOTAL}, {.used = TOTAL / 4}, {.used = TOTAL}};

	CU_ASSERT_EQUAL(share(members, 3, 1), TOTAL / 4);
	CU_ASSERT(share(members, 3, 0) + share(members, 3, 2) <= TOTAL - TOTAL / 4 + 2);
	CU_ASSERT(share(members, 3, 0) > share(members, 3, 2));
}

/* From one that has all and is idle to one that needs it, and back when they change. */
static void memory_follows_the_need(void)
{
	struct share_member members[] = {{.used = TOTAL - LEAST}, {.used = LEAST}};

	for (unsigned round = 0; round < 2; round++) {
		struct share_member *idle = &members[round], *busy = &members[1 - round];

		idle->missing = 0;
		idle->grows = false;
		busy->missing = MANY;
		busy->grows = true;
		for (unsigned i = 0; i < 400; i++) { /* 20 s */
			idle->used = share(members, 2, round) < idle->used
					     ? share(members, 2, round)
					     : idle->used;
			busy->used = share(members, 2, 1 - round);
		}
		CU_ASSERT(idle->used <= 2 * LEAST);
		CU_ASSERT(busy->used >= TOTAL - 2 * LEAST - TOTAL / 16);
		CU_ASSERT(idle->used + busy->used <= TOTAL + LEAST);
	}
}

static void the_rate_follows_what_happens(void)
{
	uint64_t rate = 0;

	for (unsigned i = 0; i < 200; i++)
		rate = share_missing(rate, 50, 50 * MS);
	CU_ASSERT(rate > 950 && rate <= 1000);
	rate = share_missing(rate, 0, 1000 * MS);
	CU_ASSERT(rate > 450 && rate < 550);
	for (unsigned i = 0; i < 10; i++)
		rate = share_missing(rate, 0, 1000 * MS);
	CU_ASSERT(rate < 5);
	CU_ASSERT_EQUAL(share_missing(0, 1000000, 0), 1000000);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(one_alone_may_have_all),
		SUITE_TEST(small_ones_take_nothing_from_a_large_one),
		SUITE_TEST(those_that_grow_get_equal_parts_of_what_is_left),
		SUITE_TEST(together_they_never_get_more_than_there_is),
		SUITE_TEST(everybody_has_the_least),
		SUITE_TEST(who_misses_nothing_gives_to_who_does),
		SUITE_TEST(it_gives_half_in_two_seconds_and_no_more_at_once),
		SUITE_TEST(nothing_moves_while_there_is_room),
		SUITE_TEST(nothing_moves_between_those_that_miss_as_often),
		SUITE_TEST(a_few_faults_are_no_need),
		SUITE_TEST(an_excess_is_given_up_by_those_with_more_than_an_equal_part),
		SUITE_TEST(memory_follows_the_need),
		SUITE_TEST(the_rate_follows_what_happens),
		SUITE_END,
	};

	return suite_run("share", tests);
}
