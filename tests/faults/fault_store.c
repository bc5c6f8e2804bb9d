/*
 * The store from open to close on a sound donord: each thing it asks the system for is refused
 * once. It may then do without the donor or without a slab, but whatever it says was read must be
 * right, every io must complete, and at the end nothing of its memory is left.
 */
#include "common/base/clock.h"
#include "pager/own.h"
#include "pager/store.h"
#include "tests/contract/lender.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define SLOTS 40u
#define PATIENCE_NS (3000 * NS_PER_MS)

static _Alignas(4096) uint8_t page[4096];

static void check(bool is_right, const char *what)
{
	if (is_right)
		return;
	fprintf(stderr, "wrong: %s\n", what);
	exit(EXIT_FAILURE);
}

static void ignore_loss(void *arg, const char *donor, const char *why)
{
	(void)arg;
	fprintf(stderr, "lost %s: %s\n", donor, why);
}

static int run_io(struct store *store, enum store_lane lane, uint32_t slot)
{
	const struct store_io io = {.slot = slot, .count = 1, .buffer = page};
	uint64_t end = clock_ns() + PATIENCE_NS;
	struct store_done done;

	check(store_post(store, lane, &io, 1) == 1, "an io was not accepted");
	while (!store_poll(store, lane, &done, 1)) {
		check(clock_ns() < end, "an io does not complete");
		store_tick(store);
	}
	return done.status;
}

/* Slots are there at once, or after a fault later, or never. */
static unsigned take(struct store *store, uint32_t *slots)
{
	uint64_t end = clock_ns() + 300 * NS_PER_MS;
	unsigned n = 0;

	while (n < SLOTS && clock_ns() < end) {
		store_tick(store);
		n += store_slots_take(store, SLOTS - n, slots + n);
		usleep(500);
	}
	return n;
}

static void use(struct store *store)
{
	uint32_t slots[SLOTS];
	unsigned i, n = take(store, slots);

	for (i = 0; i < n; i++) {
		memset(page, (int)i + 1, sizeof(page));
		if (run_io(store, STORE_WRITES, slots[i]))
			continue;
		memset(page, 0, sizeof(page));
		if (run_io(store, STORE_READS, slots[i]) == 0)
			check(page[0] == i + 1 && page[4095] == i + 1, "a page is wrong");
	}
	for (i = 0; i < n; i++)
		store_slot_give(store, slots[i]);
}

static void run(const char *donor, enum config_transport transport)
{
	const struct store_events events = {.lost = ignore_loss};
	char why[CONFIG_WHY_BYTES];
	struct store *store = NULL;
	struct config config;
	int err;

	config_init(&config);
	config.transport = transport;
	check(config_add_donors(&config, donor, why) == 0, why);
	err = store_open(&config, &events, 1000, &store);
	check(!store == (err && err != -EHOSTUNREACH), "what store_open() leaves");
	if (store) {
		use(store);
		store_close(store);
	}
	check(own_bytes() == 0, "memory is left");
}

int main(void)
{
	struct lender lender;

	lender_start(&lender, &(struct lender_options){.size = "4M"});
	run(lender.local, CONFIG_SHM);
	run(lender.address, CONFIG_TCP);
	lender_stop(&lender);
	return EXIT_SUCCESS;
}
