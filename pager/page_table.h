/*
 * What the engine knows of every page it has met: 24 bytes each, in chunks of 512 (2 MiB of address
 * space) found through three levels, as the hardware does it. Costs memory only where pages are.
 *
 *                     place / fetch                          take out
 *        ┌──────────────────────────── RESIDENT ─────────────────────────────┐
 *        │                               ▲   ▲ minor fault                   ▼
 *    FETCHING ◀── major fault ── REMOTE  │   └─────────────────────────── STAGED
 *        │                         ▲     │ fill                              │ release
 *        └── failed, moved ────────┘   FILLED ◀──────── one word ────────────┤
 *                                  ▲                                         │
 *                                  └──────────────── stored ─────────────────┘
 *    Any of them ──▶ NONE when the program drops the page (munmap, madvise); from NONE a fault
 *    gives zeros. A page that was never out and never scanned is NONE too.
 *
 * Guarded by the engine's map lock, all of it; only page_count figures are read without.
 * Nothing here allocates but page_table_open(): memory was reserved then and is touched as needed.
 */
#ifndef PAGER_PAGE_TABLE_H
#define PAGER_PAGE_TABLE_H

#include "common/base/compiler.h"
#include "common/base/hash.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum page_state {
	PAGE_NONE,
	PAGE_RESIDENT,
	PAGE_STAGED,
	PAGE_REMOTE,
	PAGE_FILLED,
	PAGE_FETCHING,
	PAGE_STATES
};

/* Addresses from here on are not adopted: only a program that asks for them has any. */
#define PAGE_TABLE_END ((uint64_t)1 << 47)
#define PAGE_CHUNK_SHIFT 9
#define PAGE_CHUNK_PAGES (1u << PAGE_CHUNK_SHIFT)
#define PAGE_CHUNK_BYTES ((uint64_t)PAGE_CHUNK_PAGES << PAGE_SHIFT)
#define PAGE_NO_ID UINT32_MAX
#define PAGE_WHERE_BITS 25
#define PAGE_WHERE_MASK ((1u << PAGE_WHERE_BITS) - 1)

struct page {
	/* Of the content in `slot`; FILLED: low is the repeated word. */
	struct hash128 hash;
	uint32_t slot;	      /* copy on a donor, or STORE_NO_SLOT */
	uint32_t state : 3;   /* enum page_state */
	uint32_t queued : 1;  /* the eviction order has an entry for this place */
	uint32_t writing : 1; /* the write to `slot` is on its way: see take.c */
	uint32_t ahead : 1;   /* fetched ahead, not asked for yet */
	uint32_t found : 1;   /* there before we knew it, or just being dropped: it may vanish */
	uint32_t where : PAGE_WHERE_BITS; /* STAGED: place in the staging area; FETCHING: which */
};

struct page_chunk {
	uint64_t base;	 /* address of the first page */
	uint32_t used;	 /* pages that are not NONE */
	uint32_t queued; /* pages with queued set */
	struct page pages[PAGE_CHUNK_PAGES];
};

struct page_table;

int page_table_open(struct page_table **out) MUST_CHECK;
void page_table_close(struct page_table *table);

/* The page at an address, or NULL if the engine never met one near it. */
struct page *page_find(struct page_table *table, uint64_t address);
/* The same, but there always is one. NULL only when a terabyte is in use. */
struct page *page_get(struct page_table *table, uint64_t address);

/* Small numbers for pages, for queues: valid while the page is queued or not NONE. */
uint32_t page_id(struct page_table *table, const struct page *page);
struct page *page_by_id(struct page_table *table, uint32_t id);
uint64_t page_address(struct page_table *table, uint32_t id);

/* Changes the state and the counts. A chunk that comes to hold nothing is given back: after setting
 * NONE or clearing queued the pointer may be stale. */
void page_set(struct page_table *table, struct page *page, enum page_state state);
void page_set_queued(struct page_table *table, struct page *page, bool queued);

/* Calls fn for every page that is not NONE in [start, end). fn may change and drop that page. */
typedef void page_fn(void *arg, struct page *page, uint64_t address);
void page_each(struct page_table *table, uint64_t start, uint64_t end, page_fn *fn, void *arg);

/* How many pages are in a state now; any thread. */
uint64_t page_count(const struct page_table *table, enum page_state state);

/* Bytes of memory that the books use. */
uint64_t page_table_bytes(const struct page_table *table);

#endif
