#include "pager/slots.h"

#include "pager/own.h"
#include "pager/store.h"
#include "tests/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 256u

static struct slots *slots;

static void open_book(void)
{
	CU_ASSERT_EQUAL_FATAL(slots_open(&slots), 0);
}

static uint32_t add_slab(unsigned donor, uint32_t pages)
{
	uint32_t slab;

	CU_ASSERT_EQUAL_FATAL(slots_prepare(slots, donor, pages, &slab), 0);
	slots_publish(slots, slab);
	return slab;
}

static uint32_t take_one(void)
{
	uint32_t slot;

	CU_ASSERT_EQUAL_FATAL(slots_take(slots, 1, &slot), 1);
	return slot;
}

static void an_empty_book_hands_out_nothing(void)
{
	uint32_t slot;

	open_book();
	CU_ASSERT_EQUAL(slots_take(slots, 1, &slot), 0);
	CU_ASSERT_EQUAL(slots_free(slots), 0);
	CU_ASSERT_FALSE(slots_is_alive(slots, 0));
	CU_ASSERT_FALSE(slots_is_alive(slots, STORE_NO_SLOT));
	slots_close(slots);
	slots_close(NULL);
}

static void a_slab_is_not_handed_out_before_it_is_published(void)
{
	uint32_t slab, slot;

	open_book();
	CU_ASSERT_EQUAL_FATAL(slots_prepare(slots, 3, PAGES, &slab), 0);
	CU_ASSERT_EQUAL(slots_take(slots, 1, &slot), 0);
	CU_ASSERT_FALSE(slots_is_alive(slots, slab << STORE_SLAB_SHIFT));
	slots_publish(slots, slab);
	CU_ASSERT_EQUAL(take_one(), slab << STORE_SLAB_SHIFT);
	CU_ASSERT_TRUE(slots_is_alive(slots, slab << STORE_SLAB_SHIFT));
	CU_ASSERT_EQUAL(slots_donor(slots, slab << STORE_SLAB_SHIFT), 3);
	CU_ASSERT_EQUAL(slots_pages(slots, slab << STORE_SLAB_SHIFT), PAGES);
	slots_close(slots);
}

static void slots_ascend_without_gaps_to_the_last(void)
{
	uint32_t out[2 * PAGES], slab, i;

	open_book();
	slab = add_slab(0, PAGES - 3); /* the last word of the bitmap is not full */
	CU_ASSERT_EQUAL(slots_take(slots, 100, out), 100);
	CU_ASSERT_EQUAL(slots_take(slots, 2 * PAGES - 100, out + 100), PAGES - 3 - 100);
	for (i = 0; i < PAGES - 3; i++)
		CU_ASSERT_EQUAL(out[i], (slab << STORE_SLAB_SHIFT | i));
	CU_ASSERT_EQUAL(slots_free(slots), 0);
	CU_ASSERT_EQUAL(slots_taken(slots), PAGES - 3);
	slots_close(slots);
}

static void two_donors_get_half_each_within_a_slab(void)
{
	uint32_t of[2] = {0, 0}, i;

	open_book();
	add_slab(0, 4096);
	add_slab(1, 4096);
	add_slab(0, 4096);
	add_slab(1, 4096);
	for (i = 0; i < 4096; i++)
		of[slots_donor(slots, take_one())]++;
	CU_ASSERT_EQUAL(of[0], 2048);
	CU_ASSERT_EQUAL(of[1], 2048);
	slots_close(slots);
}

static void a_batch_goes_to_donors_in_turn_in_whole_runs(void)
{
	uint32_t out[4 * SLOTS_TURN], i;

	open_book();
	add_slab(5, PAGES);
	add_slab(63, PAGES);
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, 4 * SLOTS_TURN, out), 4 * SLOTS_TURN);
	for (i = 1; i < 4 * SLOTS_TURN; i++) {
		bool is_turn = slots_donor(slots, out[i]) != slots_donor(slots, out[i - 1]);

		CU_ASSERT_EQUAL(is_turn, i % SLOTS_TURN == 0);
		CU_ASSERT(is_turn || out[i] == out[i - 1] + 1);
	}
	slots_close(slots);
}

static void a_donor_with_nothing_left_is_passed_over(void)
{
	uint32_t out[PAGES], i;

	open_book();
	add_slab(0, 10);
	add_slab(1, PAGES);
	CU_ASSERT_EQUAL(slots_take(slots, PAGES, out), PAGES);
	CU_ASSERT_EQUAL(slots_free_of(slots, 0), 0);
	CU_ASSERT_EQUAL(slots_free_of(slots, 1), 10);
	for (i = 0; i < PAGES; i++)
		slots_give(slots, out[i]);
	CU_ASSERT_EQUAL(slots_free(slots), PAGES + 10);
	slots_close(slots);
}

/* Takes everything, gives back `a` slots of one slab and `b` of another: the larger share leads. */
static void the_slab_with_the_most_free_slots_is_used_first(void)
{
	uint32_t out[3 * PAGES], few, many, i;

	open_book();
	few = add_slab(0, PAGES);
	add_slab(0, PAGES);
	many = add_slab(0, PAGES);
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, 3 * PAGES, out), 3 * PAGES);
	for (i = 0; i < PAGES / 4; i++)
		slots_give(slots, few << STORE_SLAB_SHIFT | (4 * i));
	for (i = 0; i < PAGES / 2; i++)
		slots_give(slots, many << STORE_SLAB_SHIFT | (2 * i));
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, 3 * PAGES, out), PAGES / 4 + PAGES / 2);
	for (i = 0; i < PAGES / 2; i++)
		CU_ASSERT_EQUAL(out[i], (many << STORE_SLAB_SHIFT | (2 * i)));
	for (i = 0; i < PAGES / 4; i++)
		CU_ASSERT_EQUAL(out[PAGES / 2 + i], (few << STORE_SLAB_SHIFT | (4 * i)));
	slots_close(slots);
}

static void slots_given_behind_are_found_again(void)
{
	uint32_t out[PAGES];

	open_book();
	add_slab(0, PAGES);
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, 100, out), 100);
	slots_give(slots, out[7]);
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, PAGES, out), PAGES - 100 + 1);
	CU_ASSERT_EQUAL(out[PAGES - 100], 7);
	slots_close(slots);
}

static void only_an_unused_slab_is_retired(void)
{
	uint32_t out[PAGES], used, idle, slab, i;

	open_book();
	used = add_slab(2, PAGES);
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, PAGES, out), PAGES);
	CU_ASSERT_EQUAL(slots_retire(slots, 2, &slab), -ENOENT);
	idle = add_slab(2, PAGES);
	CU_ASSERT_EQUAL(slots_retire(slots, 1, &slab), -ENOENT);
	CU_ASSERT_EQUAL_FATAL(slots_retire(slots, 2, &slab), 0);
	CU_ASSERT_EQUAL(slab, idle);
	CU_ASSERT_FALSE(slots_is_alive(slots, idle << STORE_SLAB_SHIFT));
	CU_ASSERT_EQUAL(slots_free(slots), 0);
	CU_ASSERT_EQUAL(slots_slabs_of(slots, 2), 1);
	for (i = 0; i < PAGES; i++)
		slots_give(slots, out[i]);
	CU_ASSERT_EQUAL_FATAL(slots_retire(slots, 2, &slab), 0);
	CU_ASSERT_EQUAL(slab, used);
	CU_ASSERT_EQUAL(slots_retire(slots, 2, &slab), -ENOENT);
	slots_close(slots);
}

static void a_forgotten_number_serves_again(void)
{
	uint32_t first, slab;

	open_book();
	first = add_slab(0, 64);
	CU_ASSERT_EQUAL_FATAL(slots_retire(slots, 0, &slab), 0);
	slots_forget(slots, slab);
	CU_ASSERT_EQUAL(add_slab(1, 1u << STORE_SLAB_SHIFT), first); /* a larger bitmap */
	CU_ASSERT_EQUAL(slots_free(slots), 1u << STORE_SLAB_SHIFT);
	CU_ASSERT_EQUAL(slots_donor(slots, take_one()), 1);
	slots_close(slots);
}

static void a_donor_that_goes_takes_its_slots_along(void)
{
	uint32_t out[4], dead, live;

	open_book();
	dead = add_slab(0, PAGES);
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, 2, out), 2);
	live = add_slab(1, PAGES);
	slots_kill(slots, 0);
	CU_ASSERT_FALSE(slots_is_alive(slots, out[0]));
	CU_ASSERT_EQUAL(slots_free(slots), PAGES);
	CU_ASSERT_EQUAL(slots_free_of(slots, 0), 0);
	CU_ASSERT_EQUAL(slots_slabs_of(slots, 0), 0);
	CU_ASSERT_EQUAL(take_one() >> STORE_SLAB_SHIFT, live);
	CU_ASSERT_NOT_EQUAL(dead, live);
	slots_close(slots);
}

static void a_dead_slab_keeps_its_number_while_slots_are_remembered(void)
{
	uint32_t out[2], dead;

	open_book();
	dead = add_slab(0, PAGES);
	CU_ASSERT_EQUAL_FATAL(slots_take(slots, 2, out), 2);
	slots_kill(slots, 0);
	slots_give(slots, out[0]);
	CU_ASSERT_EQUAL(slots_free(slots), 0);
	CU_ASSERT_NOT_EQUAL(add_slab(0, PAGES), dead);
	slots_give(slots, out[1]);
	CU_ASSERT_EQUAL(add_slab(0, PAGES), dead);
	CU_ASSERT_EQUAL(slots_free(slots), 2 * PAGES);
	slots_close(slots);
}

static void a_slot_costs_about_a_bit(void)
{
	size_t before, slabs = 64, i;

	open_book();
	before = own_bytes();
	for (i = 0; i < slabs; i++)
		add_slab(0, 1u << STORE_SLAB_SHIFT);
	CU_ASSERT_EQUAL(own_bytes() - before, slabs * (1u << STORE_SLAB_SHIFT) / 8);
	slots_close(slots);
}

static void no_more_slabs_than_a_slot_can_name(void)
{
	uint32_t slab, i;

	open_book();
	for (i = 0; i < STORE_MAX_SLABS; i++) {
		if (slots_prepare(slots, 0, 1, &slab))
			break;
	}
	CU_ASSERT_EQUAL(i, STORE_MAX_SLABS);
	CU_ASSERT_EQUAL(slots_prepare(slots, 0, 1, &slab), -ENOSPC);
	slots_forget(slots, 77);
	CU_ASSERT_EQUAL(slots_prepare(slots, 0, 1, &slab), 0);
	CU_ASSERT_EQUAL(slab, 77);
	slots_close(slots);
}

/* ---- against a naive set ---- */

#define MODEL_SLABS 24u
#define MODEL_DONORS 3u

enum model_state { GONE, KEPT_FREE, KEPT_USED, KEPT_DEAD };

static struct {
	uint8_t of[MODEL_SLABS][PAGES]; /* enum model_state */
	uint32_t used[MODEL_SLABS * PAGES];
	uint32_t used_count;
	uint64_t free;
} model;

static unsigned seed = 12345;

static uint32_t pick(uint32_t below)
{
	return (uint32_t)rand_r(&seed) % below;
}

static uint8_t *model_at(uint32_t slot)
{
	uint32_t slab = slot >> STORE_SLAB_SHIFT, page = slot & ((1u << STORE_SLAB_SHIFT) - 1);

	CU_ASSERT_FATAL(slab < MODEL_SLABS && page < PAGES);
	return &model.of[slab][page];
}

static void model_add(void)
{
	uint32_t slab, i;

	if (slots_slabs_of(slots, 0) + slots_slabs_of(slots, 1) + slots_slabs_of(slots, 2) >= 8)
		return;
	slab = add_slab(pick(MODEL_DONORS), PAGES);
	CU_ASSERT_FATAL(slab < MODEL_SLABS);
	for (i = 0; i < PAGES; i++) {
		CU_ASSERT_EQUAL_FATAL(model.of[slab][i], GONE);
		model.of[slab][i] = KEPT_FREE;
	}
	model.free += PAGES;
}

static void model_take(void)
{
	uint32_t out[200], n = pick(200), got, i;

	got = slots_take(slots, n, out);
	CU_ASSERT_EQUAL(got, n < model.free ? n : model.free);
	for (i = 0; i < got; i++) {
		CU_ASSERT_EQUAL_FATAL(*model_at(out[i]), KEPT_FREE);
		*model_at(out[i]) = KEPT_USED;
		model.used[model.used_count++] = out[i];
	}
	model.free -= got;
}

/* What is left of a dead slab is gone when its last slot was given. */
static void model_bury(uint32_t slab)
{
	if (memchr(model.of[slab], KEPT_DEAD, PAGES) == NULL)
		memset(model.of[slab], GONE, PAGES);
}

static void model_give(void)
{
	uint32_t n = pick(150), at, slot;

	while (n-- && model.used_count) {
		at = pick(model.used_count);
		slot = model.used[at];
		model.used[at] = model.used[--model.used_count];
		slots_give(slots, slot);
		if (*model_at(slot) == KEPT_DEAD) {
			*model_at(slot) = GONE;
			model_bury(slot >> STORE_SLAB_SHIFT);
		} else {
			*model_at(slot) = KEPT_FREE;
			model.free++;
		}
	}
}

static void model_retire(void)
{
	uint32_t slab, i;

	if (slots_retire(slots, pick(MODEL_DONORS), &slab))
		return;
	for (i = 0; i < PAGES; i++)
		CU_ASSERT_EQUAL_FATAL(model.of[slab][i], KEPT_FREE);
	memset(model.of[slab], GONE, PAGES);
	model.free -= PAGES;
	slots_forget(slots, slab);
}

static void model_kill(void)
{
	unsigned donor = pick(MODEL_DONORS);
	uint32_t slab, i;
	bool dies[MODEL_SLABS];

	for (slab = 0; slab < MODEL_SLABS; slab++)
		dies[slab] = slots_is_alive(slots, slab << STORE_SLAB_SHIFT) &&
			     slots_donor(slots, slab << STORE_SLAB_SHIFT) == donor;
	slots_kill(slots, donor);
	for (slab = 0; slab < MODEL_SLABS; slab++) {
		for (i = 0; dies[slab] && i < PAGES; i++) {
			model.free -= model.of[slab][i] == KEPT_FREE;
			model.of[slab][i] = model.of[slab][i] == KEPT_USED ? KEPT_DEAD : GONE;
		}
	}
}

static void it_agrees_with_a_naive_set_whatever_happens(void)
{
	unsigned i;

	open_book();
	for (i = 0; i < 20000; i++) {
		uint32_t what = pick(100);

		if (what < 5)
			model_add();
		else if (what < 50)
			model_take();
		else if (what < 95)
			model_give();
		else if (what < 99)
			model_retire();
		else
			model_kill();
		CU_ASSERT_EQUAL_FATAL(slots_free(slots), model.free);
	}
	while (model.used_count)
		model_give();
	CU_ASSERT_EQUAL(slots_free(slots), model.free);
	slots_close(slots);
}

/* ---- two threads ---- */

static _Atomic unsigned taken_twice;
static _Atomic uint8_t held[8 * PAGES];

static _Atomic uint8_t *held_at(uint32_t slot)
{
	return &held[(slot >> STORE_SLAB_SHIFT) * PAGES + (slot & (PAGES - 1))];
}

static void *take_and_give(void *arg UNUSED)
{
	uint32_t out[100], got, i, round;

	for (round = 0; round < 5000; round++) {
		got = slots_take(slots, 100, out);
		for (i = 0; i < got; i++) {
			if (atomic_exchange(held_at(out[i]), 1))
				taken_twice++;
		}
		for (i = 0; i < got; i++) {
			atomic_store(held_at(out[i]), 0);
			slots_give(slots, out[i]);
		}
	}
	return NULL;
}

static void two_threads_never_hold_the_same_slot(void)
{
	pthread_t threads[2];
	unsigned i;

	open_book();
	for (i = 0; i < 8; i++)
		add_slab(i % 3, PAGES);
	for (i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(taken_twice, 0);
	CU_ASSERT_EQUAL(slots_free(slots), 8 * PAGES);
	slots_close(slots);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(an_empty_book_hands_out_nothing),
		SUITE_TEST(a_slab_is_not_handed_out_before_it_is_published),
		SUITE_TEST(slots_ascend_without_gaps_to_the_last),
		SUITE_TEST(two_donors_get_half_each_within_a_slab),
		SUITE_TEST(a_batch_goes_to_donors_in_turn_in_whole_runs),
		SUITE_TEST(a_donor_with_nothing_left_is_passed_over),
		SUITE_TEST(the_slab_with_the_most_free_slots_is_used_first),
		SUITE_TEST(slots_given_behind_are_found_again),
		SUITE_TEST(only_an_unused_slab_is_retired),
		SUITE_TEST(a_forgotten_number_serves_again),
		SUITE_TEST(a_donor_that_goes_takes_its_slots_along),
		SUITE_TEST(a_dead_slab_keeps_its_number_while_slots_are_remembered),
		SUITE_TEST(a_slot_costs_about_a_bit),
		SUITE_TEST(no_more_slabs_than_a_slot_can_name),
		SUITE_TEST(it_agrees_with_a_naive_set_whatever_happens),
		SUITE_TEST(two_threads_never_hold_the_same_slot),
		SUITE_END,
	};

	return suite_run("slots", tests);
}
