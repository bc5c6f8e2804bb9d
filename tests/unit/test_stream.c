#include "pager/stream.h"

#include "tests/suite.h"

#include <string.h>

#define TID 4711u

static struct streams streams;

static void forget_all(void)
{
	memset(&streams, 0, sizeof(streams));
}

/* What is advised holds the page and is no larger than it may be. */
static struct stream_advice advise(uint32_t tid, uint64_t page)
{
	struct stream_advice advice = stream_advise(&streams, tid, page);

	CU_ASSERT(advice.count >= 1 && advice.count <= STREAM_MAX_WINDOW);
	CU_ASSERT(advice.first <= page && page - advice.first < advice.count);
	return advice;
}

static void one_fault_asks_for_nothing_ahead(void)
{
	struct stream_advice advice;

	forget_all();
	advice = advise(TID, 1000);
	CU_ASSERT(advice.first == 1000 && advice.count == 1);
}

/* Faults as a program makes them that finds all it was given; returns the last window. */
static uint32_t walk_up(uint32_t tid, uint64_t *at, unsigned faults)
{
	struct stream_advice advice = {0};

	for (unsigned i = 0; i < faults; i++) {
		advice = advise(tid, *at);
		CU_ASSERT_EQUAL(advice.first, *at);
		*at = advice.first + advice.count;
	}
	return advice.count;
}

static uint32_t walk_down(uint32_t tid, uint64_t *at, unsigned faults)
{
	struct stream_advice advice = {0};

	for (unsigned i = 0; i < faults; i++) {
		advice = advise(tid, *at);
		CU_ASSERT_EQUAL(advice.first + advice.count, *at + 1);
		*at = advice.first - 1;
	}
	return advice.count;
}

static void an_ascending_window_grows_to_the_largest(void)
{
	uint64_t at = 1000;
	uint32_t before = 0, window;

	forget_all();
	for (unsigned i = 0; i < 12; i++) {
		window = walk_up(TID, &at, 1);
		CU_ASSERT(window > before || window == STREAM_MAX_WINDOW);
		before = window;
	}
	CU_ASSERT_EQUAL(before, STREAM_MAX_WINDOW);
}

static void a_descending_window_grows_to_the_largest(void)
{
	uint64_t at = 100000;

	forget_all();
	CU_ASSERT_EQUAL(walk_down(TID, &at, 1), 1);
	CU_ASSERT(walk_down(TID, &at, 1) > 1);
	CU_ASSERT_EQUAL(walk_down(TID, &at, 10), STREAM_MAX_WINDOW);
}

/* Windows meet: what is next is what the fault behind this window will ask for. */
static void a_steady_stream_knows_what_is_next(void)
{
	struct stream_advice advice = {0}, last;
	uint64_t up = 1000, down = 100000;

	forget_all();
	for (unsigned i = 0; i < 12; i++) {
		last = advice;
		advice = advise(TID, up);
		CU_ASSERT_EQUAL(advice.is_steady, last.count == STREAM_MAX_WINDOW);
		CU_ASSERT(!last.is_steady || (last.next == up && last.next_first == advice.first));
		up = advice.first + advice.count;
	}
	CU_ASSERT(advice.is_steady);
	advice = (struct stream_advice){0};
	for (unsigned i = 0; i < 12; i++) {
		last = advice;
		advice = advise(TID, down);
		CU_ASSERT_EQUAL(advice.is_steady, last.count == STREAM_MAX_WINDOW);
		CU_ASSERT(!last.is_steady ||
			  (last.next == down && last.next_first == advice.first));
		down = advice.first - 1;
	}
	CU_ASSERT(advice.is_steady);
}

static void pages_skipped_do_not_end_a_stream(void)
{
	uint64_t at = 1000;

	forget_all();
	walk_up(TID, &at, 10);
	at += 3;
	CU_ASSERT_EQUAL(walk_up(TID, &at, 1), STREAM_MAX_WINDOW);
	at += STREAM_MAX_WINDOW; /* that is somewhere else */
	CU_ASSERT_EQUAL(walk_up(TID, &at, 1), 1);
}

static void a_window_that_was_cut_short_continues(void)
{
	uint64_t at = 1000;

	forget_all();
	walk_up(TID, &at, 10);
	at -= STREAM_MAX_WINDOW - 5; /* five pages of it came */
	CU_ASSERT_EQUAL(walk_up(TID, &at, 1), STREAM_MAX_WINDOW);
	forget_all();
	at = 100000;
	walk_down(TID, &at, 10);
	at += STREAM_MAX_WINDOW - 5;
	CU_ASSERT_EQUAL(walk_down(TID, &at, 1), STREAM_MAX_WINDOW);
}

static void the_same_page_again_is_no_stream(void)
{
	forget_all();
	for (unsigned i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(advise(TID, 1000).count, 1);
}

static void streams_of_one_thread_may_be_interleaved(void)
{
	uint64_t up = 1000, down = 900000, other = 500000;

	forget_all();
	for (unsigned i = 0; i < 10; i++) {
		walk_up(TID, &up, 1);
		walk_down(TID, &down, 1);
		walk_up(TID, &other, 1);
	}
	CU_ASSERT_EQUAL(walk_up(TID, &up, 1), STREAM_MAX_WINDOW);
	CU_ASSERT_EQUAL(walk_down(TID, &down, 1), STREAM_MAX_WINDOW);
	CU_ASSERT_EQUAL(walk_up(TID, &other, 1), STREAM_MAX_WINDOW);
}

static void strays_do_not_end_a_stream_that_goes_on(void)
{
	uint64_t at = 1000;

	forget_all();
	walk_up(TID, &at, 10);
	for (unsigned i = 1; i <= 100; i++) {
		CU_ASSERT_EQUAL(advise(TID, 1000000 + 7919 * i).count, 1);
		if (i % (STREAM_PER_THREAD - 1) == 0)
			CU_ASSERT_EQUAL(walk_up(TID, &at, 1), STREAM_MAX_WINDOW);
	}
}

static void threads_are_apart(void)
{
	uint64_t at = 1000;

	forget_all();
	walk_up(TID, &at, 10);
	/* another one, in the same place of the table at that, does not continue it */
	CU_ASSERT_EQUAL(advise(TID + STREAM_THREADS, at).count, 1);
	for (unsigned i = 0; i < 100; i++)
		advise(TID + STREAM_THREADS, 1000000 + 7919 * i);
	CU_ASSERT_EQUAL(walk_up(TID, &at, 1), STREAM_MAX_WINDOW);
}

static void of_too_many_threads_the_one_idle_longest_is_forgotten(void)
{
	uint64_t busy = 1000, idle = 500000;

	forget_all();
	walk_up(1, &idle, 10);
	walk_up(2, &busy, 10);
	for (uint32_t tid = 3; tid < 3 + STREAM_THREADS; tid++) {
		advise(tid, 1000000);
		CU_ASSERT_EQUAL(walk_up(2, &busy, 1), STREAM_MAX_WINDOW);
	}
	CU_ASSERT_EQUAL(walk_up(1, &idle, 1), 1);
}

static void random_faults_ask_for_nothing_ahead(void)
{
	uint64_t page = 1;

	forget_all();
	for (unsigned i = 0; i < 10000; i++) {
		page = page * 6364136223846793005u + 1442695040888963407u;
		CU_ASSERT_EQUAL(advise(TID, page >> 29).count, 1); /* of 2^35 pages */
	}
}

static void the_first_page_is_a_page_like_any_other(void)
{
	uint64_t at = 0;

	forget_all();
	CU_ASSERT_EQUAL(walk_up(TID, &at, 1), 1);
	CU_ASSERT(walk_up(TID, &at, 1) > 1);
	CU_ASSERT_EQUAL(walk_up(TID, &at, 10), STREAM_MAX_WINDOW);
}

static void descending_ends_at_the_first_page(void)
{
	for (uint64_t from = 0; from < 4 * STREAM_MAX_WINDOW; from++) {
		struct stream_advice advice;
		uint64_t at = from;

		forget_all();
		for (;;) {
			advice = advise(TID, at);
			CU_ASSERT(!advice.is_steady || advice.next_first < at);
			if (advice.first == 0)
				break;
			at = advice.first - 1;
		}
		CU_ASSERT_EQUAL(advice.count, at + 1);
		/* nothing that went round the end continues it */
		CU_ASSERT_EQUAL(advise(TID, UINT64_MAX >> 12).count, 1);
		CU_ASSERT_EQUAL(advise(TID, 100000).count, 1);
	}
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(one_fault_asks_for_nothing_ahead),
		SUITE_TEST(an_ascending_window_grows_to_the_largest),
		SUITE_TEST(a_descending_window_grows_to_the_largest),
		SUITE_TEST(a_steady_stream_knows_what_is_next),
		SUITE_TEST(pages_skipped_do_not_end_a_stream),
		SUITE_TEST(a_window_that_was_cut_short_continues),
		SUITE_TEST(the_same_page_again_is_no_stream),
		SUITE_TEST(streams_of_one_thread_may_be_interleaved),
		SUITE_TEST(strays_do_not_end_a_stream_that_goes_on),
		SUITE_TEST(threads_are_apart),
		SUITE_TEST(of_too_many_threads_the_one_idle_longest_is_forgotten),
		SUITE_TEST(random_faults_ask_for_nothing_ahead),
		SUITE_TEST(the_first_page_is_a_page_like_any_other),
		SUITE_TEST(descending_ends_at_the_first_page),
		SUITE_END,
	};

	return suite_run("stream", tests);
}
