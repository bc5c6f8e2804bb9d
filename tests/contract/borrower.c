#include "tests/contract/borrower.h"

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "tests/suite.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define PATIENCE_MS 10000u
#define LOG_LINES 256

static struct {
	struct lock lock;
	unsigned count;
	char lines[LOG_LINES][LOG_LINE_BYTES];
} log_book;

static void note_line(void *arg UNUSED, enum log_level level UNUSED, const char *line)
{
	lock_acquire(&log_book.lock);
	if (log_book.count < LOG_LINES)
		snprintf(log_book.lines[log_book.count++], LOG_LINE_BYTES, "%s", line);
	lock_release(&log_book.lock);
}

unsigned borrower_lines(const char *text)
{
	unsigned i, n = 0;

	lock_acquire(&log_book.lock);
	for (i = 0; i < log_book.count; i++)
		n += strstr(log_book.lines[i], text) != NULL;
	lock_release(&log_book.lock);
	return n;
}

static void note_lost(void *arg, const char *donor, const char *why)
{
	struct borrower *borrower = arg;

	borrower->lost++;
	snprintf(borrower->lost_donor, sizeof(borrower->lost_donor), "%s", donor);
	snprintf(borrower->lost_why, sizeof(borrower->lost_why), "%s", why);
}

static void note_wake(void *arg)
{
	((struct borrower *)arg)->wakes++;
}

void borrower_open(struct borrower *borrower, const char *donors, enum config_transport transport)
{
	const struct store_events events = {.lost = note_lost, .wake = note_wake, .arg = borrower};
	char why[CONFIG_WHY_BYTES];
	struct config config;
	uint64_t start;

	memset(borrower, 0, sizeof(*borrower));
	borrower->buffers = aligned_alloc(PAGE_BYTES, BORROWER_IOS * STORE_MAX_RUN * PAGE_BYTES);
	CU_ASSERT_PTR_NOT_NULL_FATAL(borrower->buffers);
	log_book.count = 0;
	log_set_sink(note_line, NULL);
	config_init(&config);
	config.transport = transport;
	CU_ASSERT_EQUAL_FATAL(config_add_donors(&config, donors, why), 0);
	start = clock_ns();
	borrower->opened = store_open(&config, &events, 1000, &borrower->store);
	borrower->open_ns = clock_ns() - start;
	CU_ASSERT_PTR_NOT_NULL_FATAL(borrower->store);
}

void borrower_close(struct borrower *borrower)
{
	store_close(borrower->store);
	log_set_sink(NULL, NULL);
	free(borrower->buffers);
}

bool borrower_tick(struct borrower *borrower, unsigned ms, bool (*done)(struct borrower *))
{
	uint64_t end = clock_ns() + ms * MS;

	do {
		store_tick(borrower->store);
		if (done && done(borrower))
			return true;
		usleep(2000);
	} while (clock_ns() < end);
	return false;
}

void borrower_take(struct borrower *borrower, unsigned n, uint32_t *slots)
{
	uint64_t end = clock_ns() + PATIENCE_MS * MS;
	unsigned got = 0;

	while (got < n && clock_ns() < end) {
		got += store_slots_take(borrower->store, n - got, slots + got);
		store_tick(borrower->store);
	}
	CU_ASSERT_EQUAL_FATAL(got, n);
}

/* ---- content ---- */

static uint64_t word_of(uint32_t slot, uint32_t version, unsigned i)
{
	uint64_t x = ((uint64_t)slot << 32 | version) + i * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 29;
}

void borrower_fill(void *page, uint32_t slot, uint32_t version)
{
	uint64_t *words = page;
	unsigned i;

	for (i = 0; i < PAGE_BYTES / sizeof(*words); i++)
		words[i] = word_of(slot, version, i);
}

bool borrower_is_right(const void *page, uint32_t slot, uint32_t version)
{
	const uint64_t *words = page;
	unsigned i;

	for (i = 0; i < PAGE_BYTES / sizeof(*words); i++) {
		if (words[i] != word_of(slot, version, i))
			return false;
	}
	return true;
}

uint8_t *borrower_buffer(struct borrower *borrower, unsigned cookie)
{
	return borrower->buffers + cookie * STORE_MAX_RUN * PAGE_BYTES;
}

/* ---- ios ---- */

bool borrower_post(struct borrower *borrower, enum store_lane lane, uint32_t slot, uint32_t count,
		   unsigned cookie)
{
	const struct store_io io = {
		.slot = slot,
		.count = count,
		.buffer = borrower_buffer(borrower, cookie),
		.cookie = cookie,
	};

	CU_ASSERT_FATAL(cookie < BORROWER_IOS && !borrower->state[cookie]);
	if (!store_post(borrower->store, lane, &io, 1))
		return false;
	borrower->state[cookie] = 1;
	borrower->in_flight++;
	return true;
}

unsigned borrower_poll(struct borrower *borrower, enum store_lane lane)
{
	struct store_done done[16];
	unsigned i, n = store_poll(borrower->store, lane, done, 16);

	for (i = 0; i < n; i++) {
		CU_ASSERT_FATAL(done[i].cookie < BORROWER_IOS);
		CU_ASSERT_EQUAL(borrower->state[done[i].cookie], 1); /* once */
		borrower->state[done[i].cookie] = 0;
		borrower->in_flight--;
		if (done[i].status) {
			borrower->failed++;
			borrower->failed_with = done[i].status;
		}
	}
	return n;
}

bool borrower_drain(struct borrower *borrower, enum store_lane lane)
{
	uint64_t end = clock_ns() + PATIENCE_MS * MS;
	struct pollfd fds[CONFIG_MAX_DONORS + 1];
	int n;

	while (borrower->in_flight && clock_ns() < end) {
		if (borrower_poll(borrower, lane))
			continue;
		n = store_arm(borrower->store, lane, fds, CONFIG_MAX_DONORS + 1);
		if (n >= 0)
			poll(fds, (nfds_t)n, 5);
		store_tick(borrower->store);
	}
	return borrower->in_flight == 0;
}

/* Slots from the first on that are one run. */
static unsigned run_of(const uint32_t *slots, unsigned n)
{
	unsigned i;

	for (i = 1; i < n && i < STORE_MAX_RUN; i++) {
		if (slots[i] != slots[i - 1] + 1)
			break;
	}
	return i;
}

/* Up to BORROWER_IOS runs from *at on, all completed; moves *at on. Returns how many. */
static unsigned move_some(struct borrower *borrower, enum store_lane lane, const uint32_t *slots,
			  unsigned n, unsigned *at)
{
	unsigned ios = 0;

	while (*at < n && ios < BORROWER_IOS) {
		unsigned run = run_of(slots + *at, n - *at);

		if (lane == STORE_READS) /* so that a read that does nothing is found out */
			memset(borrower_buffer(borrower, ios), 0, run * PAGE_BYTES);
		if (!borrower_post(borrower, lane, slots[*at], run, ios)) {
			borrower_poll(borrower, lane);
			continue;
		}
		*at += run;
		ios++;
	}
	CU_ASSERT_TRUE_FATAL(borrower_drain(borrower, lane));
	return ios;
}

void borrower_write(struct borrower *borrower, const uint32_t *slots, unsigned n, uint32_t version)
{
	unsigned at = 0;

	while (at < n) {
		unsigned fill = at, ios = 0, i;

		while (fill < n && ios < BORROWER_IOS) {
			unsigned run = run_of(slots + fill, n - fill);

			for (i = 0; i < run; i++)
				borrower_fill(borrower_buffer(borrower, ios) + i * PAGE_BYTES,
					      slots[fill + i], version);
			fill += run;
			ios++;
		}
		move_some(borrower, STORE_WRITES, slots, n, &at);
	}
}

unsigned borrower_check(struct borrower *borrower, const uint32_t *slots, unsigned n,
			uint32_t version)
{
	unsigned at = 0, wrong = 0;

	while (at < n) {
		unsigned look = at, ios = 0, i;

		move_some(borrower, STORE_READS, slots, n, &at);
		while (look < at) {
			unsigned run = run_of(slots + look, n - look);

			for (i = 0; i < run; i++)
				wrong += !borrower_is_right(borrower_buffer(borrower, ios) +
								    i * PAGE_BYTES,
							    slots[look + i], version);
			look += run;
			ios++;
		}
	}
	return wrong;
}

const struct stats_page *borrower_stats(struct borrower *borrower)
{
	static struct stats_page page;

	memset(&page, 0, sizeof(page));
	store_stats(borrower->store, &page);
	return &page;
}
