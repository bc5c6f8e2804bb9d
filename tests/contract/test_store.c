/*
 * What the store promises while all is well, with real donors: every page read back as it was
 * written, over shm and tcp, from all donors alike; leases that last, grow and shrink. And that
 * its lanes may run on threads of their own whatever happens.
 */
#include "pager/store.h"

#include "common/base/clock.h"
#include "tests/contract/borrower.h"
#include "tests/contract/lender.h"
#include "tests/contract/mallocs.h"
#include "tests/suite.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGES_A_SLAB 256u

static struct lender lender;
static struct borrower borrower;
static unsigned seed = 99;

static void shuffle(uint32_t *slots, unsigned n)
{
	unsigned i;

	for (i = n - 1; i > 0; i--) {
		unsigned j = (unsigned)rand_r(&seed) % (i + 1);
		uint32_t slot = slots[i];

		slots[i] = slots[j];
		slots[j] = slot;
	}
}

/* ---- reads and writes ---- */

static void round_trips(const char *donors, enum config_transport transport, const char *expected)
{
	static uint32_t slots[6000];
	unsigned i;

	borrower_open(&borrower, donors, transport);
	CU_ASSERT_EQUAL(borrower.opened, 0);
	CU_ASSERT_STRING_EQUAL(borrower_stats(&borrower)->donors[0].transport, expected);
	borrower_take(&borrower, ARRAY_LEN(slots), slots);
	borrower_write(&borrower, slots, ARRAY_LEN(slots), 1);
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, ARRAY_LEN(slots), 1), 0);
	shuffle(slots, ARRAY_LEN(slots));
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, 1000, 1), 0);
	borrower_write(&borrower, slots, 500, 2);
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, 500, 2), 0);
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots + 500, 500, 1), 0);
	CU_ASSERT_EQUAL(borrower.failed, 0);
	CU_ASSERT_EQUAL(borrower.lost, 0);
	for (i = 0; i < ARRAY_LEN(slots); i++)
		store_slot_give(borrower.store, slots[i]);
	borrower_close(&borrower);
}

static void pages_come_back_over_shm(void)
{
	lender_start(&lender, &(struct lender_options){.lease = NULL});
	round_trips(lender.local, CONFIG_AUTO, "shm");
	round_trips(lender.address, CONFIG_SHM, "shm");
	lender_stop(&lender);
}

static void pages_come_back_over_tcp(void)
{
	lender_start(&lender, &(struct lender_options){.lease = NULL});
	round_trips(lender.address, CONFIG_TCP, "tcp");
	lender_stop(&lender);
}

static void a_donor_that_is_this_host_is_used_over_shm(void)
{
	lender_start(&lender, &(struct lender_options){.lease = NULL});
	round_trips(lender.address, CONFIG_AUTO, "shm");
	lender_stop(&lender);
}

static void a_donor_without_a_local_socket_is_used_over_tcp(void)
{
	lender_start(&lender, &(struct lender_options){.is_remote = true});
	round_trips(lender.address, CONFIG_AUTO, "tcp");
	lender_stop(&lender);
}

static void bytes_are_counted_by_donor(void)
{
	uint32_t slots[100];

	lender_start(&lender, &(struct lender_options){.lease = NULL});
	borrower_open(&borrower, lender.address, CONFIG_TCP);
	borrower_take(&borrower, 100, slots);
	borrower_write(&borrower, slots, 100, 1);
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, 60, 1), 0);
	CU_ASSERT_EQUAL(borrower_stats(&borrower)->donors[0].bytes_out, 100 * PAGE_BYTES);
	CU_ASSERT_EQUAL(borrower_stats(&borrower)->donors[0].bytes_in, 60 * PAGE_BYTES);
	CU_ASSERT_EQUAL(borrower_stats(&borrower)->donors[0].state, STATS_DONOR_UP);
	CU_ASSERT_EQUAL(borrower_stats(&borrower)->donor_count, 1);
	CU_ASSERT_STRING_EQUAL(borrower_stats(&borrower)->donors[0].name, lender.address);
	CU_ASSERT_STRING_EQUAL(store_slot_donor(borrower.store, slots[0]), lender.address);
	borrower_close(&borrower);
	lender_stop(&lender);
}

static void pages_spread_over_all_donors(void)
{
	static uint32_t slots[4096];
	struct lender other;
	char donors[300];
	unsigned i, of_first = 0;

	lender_start(&lender, &(struct lender_options){.lease = NULL});
	lender_start(&other, &(struct lender_options){.lease = NULL});
	snprintf(donors, sizeof(donors), "%s,%s", lender.address, other.local);
	borrower_open(&borrower, donors, CONFIG_AUTO);
	borrower_take(&borrower, ARRAY_LEN(slots), slots);
	for (i = 0; i < ARRAY_LEN(slots); i++)
		of_first += strcmp(store_slot_donor(borrower.store, slots[i]), lender.address) == 0;
	CU_ASSERT(of_first > 1900 && of_first < 2200);
	borrower_write(&borrower, slots, ARRAY_LEN(slots), 7);
	shuffle(slots, ARRAY_LEN(slots));
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, ARRAY_LEN(slots), 7), 0);
	borrower_close(&borrower);
	lender_stop(&lender);
	lender_stop(&other);
}

static void what_names_no_page_completes_with_an_error(void)
{
	uint32_t slot;

	lender_start(&lender, &(struct lender_options){.lease = NULL});
	borrower_open(&borrower, lender.address, CONFIG_AUTO);
	borrower_take(&borrower, 1, &slot);
	CU_ASSERT_TRUE(borrower_post(&borrower, STORE_READS, STORE_NO_SLOT, 1, 0));
	CU_ASSERT_TRUE(borrower_post(&borrower, STORE_READS, 1000u << STORE_SLAB_SHIFT, 1, 1));
	CU_ASSERT_TRUE(borrower_post(&borrower, STORE_READS, slot + PAGES_A_SLAB - 3, 4, 2));
	CU_ASSERT_TRUE(borrower_post(&borrower, STORE_READS, slot, 0, 3));
	CU_ASSERT_TRUE(borrower_post(&borrower, STORE_READS, slot, STORE_MAX_RUN + 1, 4));
	CU_ASSERT_TRUE(borrower_drain(&borrower, STORE_READS));
	CU_ASSERT_EQUAL(borrower.failed, 5);
	CU_ASSERT_EQUAL(borrower.failed_with, -EINVAL);
	CU_ASSERT_EQUAL(borrower.lost, 0); /* and the donor is none the worse */
	CU_ASSERT_TRUE(borrower_post(&borrower, STORE_READS, slot, 1, 5));
	CU_ASSERT_TRUE(borrower_drain(&borrower, STORE_READS));
	CU_ASSERT_EQUAL(borrower.failed, 5);
	borrower_close(&borrower);
	lender_stop(&lender);
}

/* ---- leases ---- */

static void leases_last_as_long_as_they_are_renewed(void)
{
	uint32_t slots[200];

	lender_start(&lender, &(struct lender_options){.lease = "1s", .renew = "300ms"});
	borrower_open(&borrower, lender.address, CONFIG_TCP);
	borrower_take(&borrower, 200, slots);
	borrower_write(&borrower, slots, 200, 3);
	CU_ASSERT_FALSE(borrower_tick(&borrower, 2500, NULL));
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, 200, 3), 0);
	CU_ASSERT_EQUAL(borrower.lost, 0);
	borrower_close(&borrower);
	lender_stop(&lender);
}

static void heartbeats_allocate_nothing(void)
{
	unsigned long before;

	lender_start(&lender, &(struct lender_options){.lease = "1s", .renew = "100ms"});
	borrower_open(&borrower, lender.address, CONFIG_TCP);
	borrower_tick(&borrower, 50, NULL);
	before = mallocs_of_this_thread();
	borrower_tick(&borrower, 500, NULL);
	CU_ASSERT_EQUAL(mallocs_of_this_thread(), before);
	borrower_close(&borrower);
	lender_stop(&lender);
}

static bool has_all(struct borrower *it)
{
	return borrower_stats(it)->donors[0].slabs == 8;
}

static void a_donor_that_has_lent_all_is_full(void)
{
	uint32_t slots[8 * PAGES_A_SLAB], more;
	unsigned i;

	lender_start(&lender, &(struct lender_options){.size = "8M"});
	borrower_open(&borrower, lender.address, CONFIG_AUTO);
	CU_ASSERT_TRUE(borrower_tick(&borrower, 5000, has_all));
	CU_ASSERT_FALSE(store_is_full(borrower.store));
	borrower_take(&borrower, ARRAY_LEN(slots), slots);
	borrower_tick(&borrower, 100, NULL);
	CU_ASSERT_TRUE(store_is_full(borrower.store));
	CU_ASSERT_EQUAL(store_slots_take(borrower.store, 1, &more), 0);
	store_slot_give(borrower.store, slots[17]);
	CU_ASSERT_FALSE(store_is_full(borrower.store));
	CU_ASSERT_EQUAL(store_slots_free(borrower.store), 1);
	for (i = 0; i < ARRAY_LEN(slots); i++) {
		if (i != 17)
			store_slot_give(borrower.store, slots[i]);
	}
	borrower_close(&borrower);
	lender_stop(&lender);
}

static bool is_not_full(struct borrower *it)
{
	return !store_is_full(it->store);
}

static void room_that_others_leave_is_found(void)
{
	uint32_t slots[8 * PAGES_A_SLAB];
	struct borrower late;

	lender_start(&lender, &(struct lender_options){.size = "8M"});
	borrower_open(&borrower, lender.address, CONFIG_AUTO);
	borrower_take(&borrower, ARRAY_LEN(slots), slots);
	borrower_open(&late, lender.address, CONFIG_AUTO);
	CU_ASSERT_EQUAL(late.opened, 0);
	borrower_tick(&late, 50, NULL);
	CU_ASSERT_TRUE(store_is_full(late.store));
	borrower_close(&borrower); /* gives all back at once */
	CU_ASSERT_TRUE(borrower_tick(&late, 3000, is_not_full));
	borrower_take(&late, 1, slots);
	borrower_close(&late);
	lender_stop(&lender);
}

static bool has_few(struct borrower *it)
{
	return borrower_stats(it)->donors[0].slabs <= 128;
}

static void slabs_that_are_empty_for_long_go_back(void)
{
	static uint32_t slots[200 * PAGES_A_SLAB];
	unsigned i;

	lender_start(&lender, &(struct lender_options){.size = "512M"});
	borrower_open(&borrower, lender.local, CONFIG_AUTO);
	borrower_take(&borrower, ARRAY_LEN(slots), slots);
	CU_ASSERT(borrower_stats(&borrower)->donors[0].slabs >= 200);
	for (i = 0; i < ARRAY_LEN(slots); i++)
		store_slot_give(borrower.store, slots[i]);
	CU_ASSERT_FALSE(borrower_tick(&borrower, 2000, has_few)); /* not at once */
	CU_ASSERT_TRUE(borrower_tick(&borrower, 5000, has_few));
	CU_ASSERT(borrower_stats(&borrower)->donors[0].slabs >= 64);
	borrower_take(&borrower, 1000, slots); /* and what stayed is good */
	borrower_write(&borrower, slots, 1000, 4);
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, 1000, 4), 0);
	CU_ASSERT_EQUAL(borrower.lost, 0);
	borrower_close(&borrower);
	lender_stop(&lender);
}

/* ---- three threads, as in the engine ---- */

#define SHARED 2000u

static struct {
	_Atomic uint32_t slots[SHARED]; /* written, to be read; 0: none yet */
	_Atomic unsigned wrong, failed;
	_Atomic bool is_over;
} shared;

/* Runs one io to its end, asleep for as long as there is nothing to poll. */
static int run_io(enum store_lane lane, uint32_t slot, void *page)
{
	const struct store_io io = {.slot = slot, .count = 1, .buffer = page};
	struct pollfd fds[4];
	struct store_done done;
	int n;

	while (!store_post(borrower.store, lane, &io, 1))
		;
	while (!store_poll(borrower.store, lane, &done, 1)) {
		n = store_arm(borrower.store, lane, fds, 4);
		if (n >= 0)
			poll(fds, (nfds_t)n, -1);
	}
	shared.failed += done.status != 0;
	return done.status;
}

static void *write_all(void *arg UNUSED)
{
	static _Alignas(4096) uint8_t page[4096];
	uint32_t slot;
	unsigned i;

	for (i = 0; i < SHARED; i++) {
		while (!store_slots_take(borrower.store, 1, &slot))
			usleep(100);
		borrower_fill(page, slot, 1);
		run_io(STORE_WRITES, slot, page);
		shared.slots[i] = slot + 1;
	}
	return NULL;
}

static void *read_all(void *arg UNUSED)
{
	static _Alignas(4096) uint8_t page[4096];
	unsigned i;

	for (i = 0; i < SHARED; i++) {
		while (!shared.slots[i])
			usleep(10);
		run_io(STORE_READS, shared.slots[i] - 1, page);
		shared.wrong += !borrower_is_right(page, shared.slots[i] - 1, 1);
	}
	shared.is_over = true;
	return NULL;
}

static bool is_over(struct borrower *it UNUSED)
{
	return shared.is_over;
}

static void lanes_and_ticks_run_on_threads_of_their_own(void)
{
	pthread_t writer, reader;
	struct lender other;
	char donors[300];

	memset(&shared, 0, sizeof(shared));
	lender_start(&lender, &(struct lender_options){.lease = "1s", .renew = "100ms"});
	lender_start(&other, &(struct lender_options){.lease = NULL});
	snprintf(donors, sizeof(donors), "%s,%s", lender.local, other.address);
	borrower_open(&borrower, donors, CONFIG_AUTO);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&writer, NULL, write_all, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&reader, NULL, read_all, NULL), 0);
	CU_ASSERT_TRUE(borrower_tick(&borrower, 60000, is_over));
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	CU_ASSERT_EQUAL(shared.wrong, 0);
	CU_ASSERT_EQUAL(shared.failed, 0);
	borrower_close(&borrower);
	lender_stop(&lender);
	lender_stop(&other);
}

static uint32_t used_slot;

static void *use_until_it_fails(void *arg)
{
	static _Alignas(4096) uint8_t pages[STORE_LANES][4096];
	enum store_lane lane = *(enum store_lane *)arg;

	while (run_io(lane, used_slot, pages[lane]) == 0)
		;
	return NULL;
}

static void start_lanes(pthread_t threads[STORE_LANES])
{
	static enum store_lane lanes[] = {STORE_READS, STORE_WRITES};
	unsigned i;

	for (i = 0; i < STORE_LANES; i++)
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, use_until_it_fails, &lanes[i]), 0);
}

static void join_lanes(pthread_t threads[STORE_LANES])
{
	unsigned i;

	for (i = 0; i < STORE_LANES; i++)
		pthread_join(threads[i], NULL);
}

static bool have_failed(struct borrower *it UNUSED)
{
	return shared.failed == STORE_LANES;
}

/* A frozen donor breaks no connection: only its lease runs out. */
static void lanes_that_sleep_are_woken_when_their_donor_is_given_up(void)
{
	pthread_t threads[STORE_LANES];

	memset(&shared, 0, sizeof(shared));
	lender_start(&lender, &(struct lender_options){.lease = "1s", .renew = "300ms"});
	borrower_open(&borrower, lender.address, CONFIG_TCP);
	borrower_take(&borrower, 1, &used_slot);
	start_lanes(threads);
	CU_ASSERT_FALSE(borrower_tick(&borrower, 300, have_failed));
	lender_signal(&lender, SIGSTOP);
	CU_ASSERT_TRUE_FATAL(borrower_tick(&borrower, 5000, have_failed));
	join_lanes(threads);
	CU_ASSERT_EQUAL(borrower.lost, 1);
	borrower_close(&borrower);
	lender_stop(&lender);
}

/* Killed while both are at work, so that it is given up with the lanes inside. */
static void lanes_at_work_survive_a_kill(void)
{
	static const enum config_transport transports[] = {CONFIG_TCP, CONFIG_SHM};
	pthread_t threads[STORE_LANES];
	unsigned round;

	for (round = 0; round < 10; round++) {
		memset(&shared, 0, sizeof(shared));
		lender_start(&lender, &(struct lender_options){.lease = NULL});
		borrower_open(&borrower, lender.address, transports[round % 2]);
		borrower_take(&borrower, 1, &used_slot);
		start_lanes(threads);
		borrower_tick(&borrower, 20 + round, NULL);
		lender_signal(&lender, SIGKILL);
		CU_ASSERT_TRUE_FATAL(borrower_tick(&borrower, 5000, have_failed));
		join_lanes(threads);
		borrower_tick(&borrower, 20, NULL);
		CU_ASSERT_EQUAL(borrower.lost, 1);
		borrower_close(&borrower);
		lender_stop(&lender);
	}
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(pages_come_back_over_shm),
		SUITE_TEST(pages_come_back_over_tcp),
		SUITE_TEST(a_donor_that_is_this_host_is_used_over_shm),
		SUITE_TEST(a_donor_without_a_local_socket_is_used_over_tcp),
		SUITE_TEST(bytes_are_counted_by_donor),
		SUITE_TEST(pages_spread_over_all_donors),
		SUITE_TEST(what_names_no_page_completes_with_an_error),
		SUITE_TEST(leases_last_as_long_as_they_are_renewed),
		SUITE_TEST(heartbeats_allocate_nothing),
		SUITE_TEST(a_donor_that_has_lent_all_is_full),
		SUITE_TEST(room_that_others_leave_is_found),
		SUITE_TEST(slabs_that_are_empty_for_long_go_back),
		SUITE_TEST(lanes_and_ticks_run_on_threads_of_their_own),
		SUITE_TEST(lanes_that_sleep_are_woken_when_their_donor_is_given_up),
		SUITE_TEST(lanes_at_work_survive_a_kill),
		SUITE_END,
	};

	return suite_run("store", tests);
}
