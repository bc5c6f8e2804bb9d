#include "pager/slots.h"

#include "common/base/lock.h"
#include "pager/own.h"
#include "pager/store.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define NONE UINT32_MAX
#define SLAB_PAGES (1u << STORE_SLAB_SHIFT)
#define PAGE_MASK (SLAB_PAGES - 1)
#define WORD_BITS 64u

/*
 * Slabs of a donor that have free slots are listed by how many: list i has those whose share is in
 * [i, i+1) sixteenths, and the last one those that are all free. So the one to go on in is found
 * without a search, and is right to a sixteenth.
 */
#define SIXTEENTHS 16u
#define LISTS (SIXTEENTHS + 1)
#define LISTS_NONE LISTS

enum state { FREE, PREPARED, LENT, RETIRED, DEAD };

struct slab {
	uint64_t *bits;	       /* 1: free; kept when the number is free, for its next slab */
	uint32_t bits_words;   /* allocated */
	uint32_t pages;	       /* constant while not FREE */
	uint32_t free_pages;   /* guarded by lock, as all below but state */
	uint32_t prev, next;   /* in its list, or next: in the list of free numbers */
	uint8_t list;	       /* LISTS_NONE: in none */
	uint8_t donor;	       /* constant while not FREE */
	_Atomic uint8_t state; /* enum state; written under lock */
};

struct donor {
	uint32_t lists[LISTS]; /* first slab of each */
	uint32_t current;      /* slab that slots are taken from; in no list. NONE: choose */
	uint32_t at;	       /* page of it to go on at */
	_Atomic uint32_t slabs;
	_Atomic uint64_t free;
};

struct slots {
	struct lock lock;
	unsigned turn;	       /* guarded by lock: donor that gives */
	unsigned turn_left;    /* guarded by lock: so many more */
	uint32_t free_number;  /* guarded by lock: list of numbers to use again */
	uint32_t numbers;      /* guarded by lock: all below were used once */
	_Atomic uint64_t free; /* written under lock, as the next */
	_Atomic uint64_t taken;
	struct donor donors[SLOTS_MAX_DONORS]; /* guarded by lock but for the counts */
	struct slab *slabs;		       /* STORE_MAX_SLABS, untouched until used */
};

/* ---- counts: read at any time, written under the lock ---- */

static void count_u64(_Atomic uint64_t *count, uint64_t by)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static void count_slab(struct donor *donor, uint32_t by)
{
	atomic_store_explicit(&donor->slabs,
			      atomic_load_explicit(&donor->slabs, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static uint64_t donor_free(const struct donor *donor)
{
	return atomic_load_explicit(&donor->free, memory_order_relaxed);
}

static enum state slab_state(const struct slab *slab)
{
	return (enum state)atomic_load_explicit(&slab->state, memory_order_acquire);
}

static void slab_set(struct slab *slab, enum state state)
{
	atomic_store_explicit(&slab->state, (uint8_t)state, memory_order_release);
}

/* Free slots of the donor have become `by` more (or fewer: a negative number). */
static void count_free(struct slots *slots, struct donor *donor, int64_t by)
{
	count_u64(&donor->free, (uint64_t)by);
	count_u64(&slots->free, (uint64_t)by);
}

/* ---- lists; lock held ---- */

static unsigned list_of(const struct slab *slab)
{
	if (!slab->free_pages)
		return LISTS_NONE;
	return slab->free_pages * SIXTEENTHS / slab->pages;
}

static void list_remove(struct slots *slots, uint32_t number)
{
	struct slab *slab = &slots->slabs[number];
	struct donor *donor = &slots->donors[slab->donor];

	if (slab->list == LISTS_NONE)
		return;
	if (slab->prev == NONE)
		donor->lists[slab->list] = slab->next;
	else
		slots->slabs[slab->prev].next = slab->next;
	if (slab->next != NONE)
		slots->slabs[slab->next].prev = slab->prev;
	slab->list = LISTS_NONE;
}

/* Puts the slab where its free slots say. */
static void list_insert(struct slots *slots, uint32_t number)
{
	struct slab *slab = &slots->slabs[number];
	struct donor *donor = &slots->donors[slab->donor];
	unsigned list = list_of(slab);

	if (list == slab->list)
		return;
	list_remove(slots, number);
	slab->list = (uint8_t)list;
	if (list == LISTS_NONE)
		return;
	slab->prev = NONE;
	slab->next = donor->lists[list];
	if (slab->next != NONE)
		slots->slabs[slab->next].prev = number;
	donor->lists[list] = number;
}

static void number_free(struct slots *slots, uint32_t number)
{
	slab_set(&slots->slabs[number], FREE);
	slots->slabs[number].next = slots->free_number;
	slots->free_number = number;
}

/* ---- open, close ---- */

int slots_open(struct slots **out)
{
	struct slots *slots = own_alloc(sizeof(*slots));
	unsigned i;

	if (!slots)
		return -ENOMEM;
	slots->slabs = own_reserve(STORE_MAX_SLABS * sizeof(struct slab));
	if (!slots->slabs) {
		own_free(slots, sizeof(*slots));
		return -ENOMEM;
	}
	slots->free_number = NONE;
	slots->turn_left = SLOTS_TURN;
	for (i = 0; i < SLOTS_MAX_DONORS; i++) {
		memset(slots->donors[i].lists, 0xff, sizeof(slots->donors[i].lists));
		slots->donors[i].current = NONE;
	}
	*out = slots;
	return 0;
}

void slots_close(struct slots *slots)
{
	uint32_t i;

	if (!slots)
		return;
	for (i = 0; i < slots->numbers; i++)
		own_free(slots->slabs[i].bits, slots->slabs[i].bits_words * sizeof(uint64_t));
	own_unreserve(slots->slabs, STORE_MAX_SLABS * sizeof(struct slab));
	own_free(slots, sizeof(*slots));
}

/* ---- slabs come and go; care thread ---- */

static int number_take(struct slots *slots, uint32_t *out)
{
	uint32_t number;

	lock_acquire(&slots->lock);
	number = slots->free_number;
	if (number != NONE)
		slots->free_number = slots->slabs[number].next;
	else if (slots->numbers < STORE_MAX_SLABS)
		number = slots->numbers++;
	lock_release(&slots->lock);
	if (number == NONE)
		return -ENOSPC;
	*out = number;
	return 0;
}

/* Room for one bit a page, all saying free. The number is nobody else's at this time. */
static int bits_prepare(struct slab *slab, uint32_t pages)
{
	uint32_t words = (pages + WORD_BITS - 1) / WORD_BITS;

	if (slab->bits_words < words) {
		own_free(slab->bits, slab->bits_words * sizeof(uint64_t));
		slab->bits_words = 0;
		slab->bits = own_alloc(words * sizeof(uint64_t));
		if (!slab->bits)
			return -ENOMEM;
		slab->bits_words = words;
	}
	memset(slab->bits, 0xff, words * sizeof(uint64_t));
	if (pages % WORD_BITS)
		slab->bits[words - 1] = (UINT64_C(1) << pages % WORD_BITS) - 1;
	return 0;
}

int slots_prepare(struct slots *slots, unsigned donor, uint32_t pages, uint32_t *slab)
{
	struct slab *fresh;
	uint32_t number;
	int err;

	assert(donor < SLOTS_MAX_DONORS && pages && pages <= SLAB_PAGES);
	err = number_take(slots, &number);
	if (err)
		return err;
	fresh = &slots->slabs[number];
	err = bits_prepare(fresh, pages);
	if (err) {
		slots_forget(slots, number);
		return err;
	}
	fresh->pages = pages;
	fresh->free_pages = pages;
	fresh->donor = (uint8_t)donor;
	fresh->list = LISTS_NONE;
	slab_set(fresh, PREPARED);
	*slab = number;
	return 0;
}

void slots_publish(struct slots *slots, uint32_t slab)
{
	struct slab *fresh = &slots->slabs[slab];
	struct donor *donor = &slots->donors[fresh->donor];

	lock_acquire(&slots->lock);
	slab_set(fresh, LENT);
	count_slab(donor, 1);
	count_free(slots, donor, fresh->pages);
	list_insert(slots, slab);
	lock_release(&slots->lock);
}

int slots_retire(struct slots *slots, unsigned donor, uint32_t *slab)
{
	struct donor *from = &slots->donors[donor];
	uint32_t number;

	lock_acquire(&slots->lock);
	number = from->lists[SIXTEENTHS];
	if (number != NONE) {
		struct slab *empty = &slots->slabs[number];

		list_remove(slots, number);
		slab_set(empty, RETIRED);
		count_slab(from, (uint32_t)-1);
		count_free(slots, from, -(int64_t)empty->pages);
	}
	lock_release(&slots->lock);
	if (number == NONE)
		return -ENOENT;
	*slab = number;
	return 0;
}

void slots_forget(struct slots *slots, uint32_t slab)
{
	lock_acquire(&slots->lock);
	number_free(slots, slab);
	lock_release(&slots->lock);
}

static void kill_slab(struct slots *slots, uint32_t number)
{
	struct slab *slab = &slots->slabs[number];
	struct donor *donor = &slots->donors[slab->donor];

	list_remove(slots, number);
	count_slab(donor, (uint32_t)-1);
	count_free(slots, donor, -(int64_t)slab->free_pages);
	if (slab->free_pages == slab->pages)
		number_free(slots, number);
	else
		slab_set(slab, DEAD);
}

void slots_kill(struct slots *slots, unsigned donor)
{
	uint32_t i;

	lock_acquire(&slots->lock);
	slots->donors[donor].current = NONE;
	for (i = 0; i < slots->numbers; i++) {
		if (slots->slabs[i].donor == donor && slab_state(&slots->slabs[i]) == LENT)
			kill_slab(slots, i);
	}
	lock_release(&slots->lock);
}

/* ---- taking; lock held ---- */

/* The current slab, chosen anew when the last one was gone through to its end. */
static uint32_t current_slab(struct slots *slots, struct donor *donor)
{
	unsigned list = LISTS;

	if (donor->current != NONE)
		return donor->current;
	while (donor->current == NONE && list-- > 0)
		donor->current = donor->lists[list];
	donor->at = 0;
	if (donor->current != NONE)
		list_remove(slots, donor->current);
	return donor->current;
}

/* First free page from `at` on; slab->pages if there is none. */
static uint32_t next_free(const struct slab *slab, uint32_t at)
{
	uint32_t words = (slab->pages + WORD_BITS - 1) / WORD_BITS;
	uint32_t word = at / WORD_BITS;
	uint64_t bits;

	if (word >= words)
		return slab->pages;
	bits = slab->bits[word] & (UINT64_MAX << at % WORD_BITS);
	while (!bits) {
		if (++word == words)
			return slab->pages;
		bits = slab->bits[word];
	}
	return word * WORD_BITS + (uint32_t)__builtin_ctzll(bits);
}

static unsigned take_from_slab(struct donor *donor, struct slab *slab, uint32_t number, unsigned n,
			       uint32_t *out)
{
	unsigned got = 0;

	while (got < n) {
		uint32_t page = next_free(slab, donor->at);

		donor->at = page + 1;
		if (page == slab->pages)
			break;
		slab->bits[page / WORD_BITS] &= ~(UINT64_C(1) << page % WORD_BITS);
		out[got++] = number << STORE_SLAB_SHIFT | page;
	}
	slab->free_pages -= got;
	return got;
}

static unsigned take_from_donor(struct slots *slots, struct donor *donor, unsigned n, uint32_t *out)
{
	unsigned got = 0;

	while (got < n && donor_free(donor) > 0) {
		uint32_t number = current_slab(slots, donor);
		struct slab *slab = &slots->slabs[number];
		unsigned now = take_from_slab(donor, slab, number, n - got, out + got);

		got += now;
		count_free(slots, donor, -(int64_t)now);
		if (donor->at >= slab->pages) {
			donor->current = NONE;
			list_insert(slots, number);
		}
	}
	return got;
}

/* The turn goes to the next donor that has something; false if none has. */
static bool next_turn(struct slots *slots)
{
	unsigned i;

	slots->turn_left = SLOTS_TURN;
	for (i = 0; i < SLOTS_MAX_DONORS; i++) {
		slots->turn = (slots->turn + 1) % SLOTS_MAX_DONORS;
		if (donor_free(&slots->donors[slots->turn]) > 0)
			return true;
	}
	return false;
}

/* What is left of one turn, or n. 0: there is nothing anywhere. */
static unsigned take_turn(struct slots *slots, unsigned n, uint32_t *out)
{
	unsigned got;

	if ((!slots->turn_left || !donor_free(&slots->donors[slots->turn])) && !next_turn(slots))
		return 0;
	if (n > slots->turn_left)
		n = slots->turn_left;
	got = take_from_donor(slots, &slots->donors[slots->turn], n, out);
	slots->turn_left -= got;
	count_u64(&slots->taken, got);
	return got;
}

/* ---- any thread ---- */

unsigned slots_take(struct slots *slots, unsigned n, uint32_t *out)
{
	unsigned got = 0, now;

	do {
		/* released in between: the fault thread must not wait for a long batch */
		lock_acquire(&slots->lock);
		now = take_turn(slots, n - got, out + got);
		lock_release(&slots->lock);
		got += now;
	} while (now && got < n);
	return got;
}

static void give_locked(struct slots *slots, uint32_t number, uint32_t page)
{
	struct slab *slab = &slots->slabs[number];
	struct donor *donor = &slots->donors[slab->donor];
	uint64_t bit = UINT64_C(1) << page % WORD_BITS;
	enum state state = slab_state(slab);

	if (state != LENT && state != DEAD)
		return;
	assert(page < slab->pages && !(slab->bits[page / WORD_BITS] & bit));
	slab->bits[page / WORD_BITS] |= bit;
	slab->free_pages++;
	if (state == LENT) {
		count_free(slots, donor, 1);
		if (donor->current != number)
			list_insert(slots, number);
	} else if (slab->free_pages == slab->pages) {
		number_free(slots, number);
	}
}

void slots_give(struct slots *slots, uint32_t slot)
{
	uint32_t number = slot >> STORE_SLAB_SHIFT;

	assert(number < STORE_MAX_SLABS);
	lock_acquire(&slots->lock);
	give_locked(slots, number, slot & PAGE_MASK);
	lock_release(&slots->lock);
}

bool slots_is_alive(const struct slots *slots, uint32_t slot)
{
	uint32_t number = slot >> STORE_SLAB_SHIFT;

	return number < STORE_MAX_SLABS && slab_state(&slots->slabs[number]) == LENT;
}

uint32_t slots_pages(const struct slots *slots, uint32_t slot)
{
	return slots->slabs[slot >> STORE_SLAB_SHIFT].pages;
}

unsigned slots_donor(const struct slots *slots, uint32_t slot)
{
	return slots->slabs[slot >> STORE_SLAB_SHIFT].donor;
}

uint64_t slots_free(const struct slots *slots)
{
	return atomic_load_explicit(&slots->free, memory_order_relaxed);
}

uint64_t slots_free_of(const struct slots *slots, unsigned donor)
{
	return donor_free(&slots->donors[donor]);
}

uint32_t slots_slabs_of(const struct slots *slots, unsigned donor)
{
	return atomic_load_explicit(&slots->donors[donor].slabs, memory_order_relaxed);
}

uint64_t slots_taken(const struct slots *slots)
{
	return atomic_load_explicit(&slots->taken, memory_order_relaxed);
}
