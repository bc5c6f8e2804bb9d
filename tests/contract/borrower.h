/*
 * What tests of the store have in common: a store with its events and log lines noted, pages whose
 * content says which slot they belong to, and both lanes driven from the calling thread, with all
 * waiting bounded.
 */
#ifndef TESTS_CONTRACT_BORROWER_H
#define TESTS_CONTRACT_BORROWER_H

#include "pager/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BORROWER_IOS 1024u

struct borrower {
	struct store *store;
	int opened;	  /* what store_open() said */
	uint64_t open_ns; /* how long it took */
	_Atomic unsigned lost, wakes;
	char lost_donor[128], lost_why[400]; /* of the last one */

	/* of the lane that is driven: the ios in flight, by cookie */
	unsigned in_flight;
	unsigned failed;
	int failed_with;	     /* the last status that was not 0 */
	uint8_t state[BORROWER_IOS]; /* 1: in flight. Never completed twice */
	uint8_t *buffers;	     /* BORROWER_IOS of STORE_MAX_RUN pages */
};

/* Opens a store on the donors ("a,b"), waiting up to a second. */
void borrower_open(struct borrower *borrower, const char *donors, enum config_transport transport);
void borrower_close(struct borrower *borrower);

/* Ticks for so long, or until done(borrower): then true. */
bool borrower_tick(struct borrower *borrower, unsigned ms, bool (*done)(struct borrower *));

/* Takes exactly n slots, ticking while there are too few. */
void borrower_take(struct borrower *borrower, unsigned n, uint32_t *slots);

/*
 * Writes pages that say slot and version to all of the slots, or reads and checks them. All ios
 * complete, or the test fails. Returns how many pages were not as they should be.
 */
void borrower_write(struct borrower *borrower, const uint32_t *slots, unsigned n, uint32_t version);
unsigned borrower_check(struct borrower *borrower, const uint32_t *slots, unsigned n,
			uint32_t version);

/* One io, counted as in flight; false if the store would not take it now. */
bool borrower_post(struct borrower *borrower, enum store_lane lane, uint32_t slot, uint32_t count,
		   unsigned cookie);
/* Polls and ticks until nothing is in flight; false if that takes more than ten seconds. */
bool borrower_drain(struct borrower *borrower, enum store_lane lane);
/* One poll; returns how many completed. */
unsigned borrower_poll(struct borrower *borrower, enum store_lane lane);

uint8_t *borrower_buffer(struct borrower *borrower, unsigned cookie);
void borrower_fill(void *page, uint32_t slot, uint32_t version);
bool borrower_is_right(const void *page, uint32_t slot, uint32_t version);

/* The store's statistics now. */
const struct stats_page *borrower_stats(struct borrower *borrower);

/* Whether a line with this text was logged since borrower_open(); how many. */
unsigned borrower_lines(const char *text);

#endif
