#include "pager/page_table.h"

#include "pager/own.h"
#include "pager/store.h"

#include <errno.h>
#include <string.h>

#define FAN 512u
#define FAN_SHIFT 9
#define MAX_CHUNKS (1u << 19) /* a terabyte of pages */
#define MAX_NODES (1u << 14)

/* 0 means "nothing here", so node and chunk 0 are never used. */
struct node {
	uint32_t child[FAN];
};

struct page_table {
	struct node top;    /* 512 GiB each */
	struct node *nodes; /* middle (1 GiB each) and low (2 MiB each) */
	struct page_chunk *chunks;
	uint32_t *spare;				/* stack of chunks given back */
	struct own_table of_nodes, of_chunks, of_spare; /* where the three are */
	uint32_t nodes_used, chunks_used, spares;
	_Atomic uint64_t counts[PAGE_STATES];
};

int page_table_open(struct page_table **out)
{
	struct page_table *table = own_alloc(sizeof(*table));

	if (!table)
		return -ENOMEM;
	if (own_table_reserve(&table->of_nodes, MAX_NODES * sizeof(struct node)) ||
	    own_table_reserve(&table->of_chunks, MAX_CHUNKS * sizeof(struct page_chunk)) ||
	    own_table_reserve(&table->of_spare, MAX_CHUNKS * sizeof(uint32_t))) {
		page_table_close(table);
		return -ENOMEM;
	}
	table->nodes = table->of_nodes.base;
	table->chunks = table->of_chunks.base;
	table->spare = table->of_spare.base;
	table->nodes_used = 1;
	table->chunks_used = 1;
	*out = table;
	return 0;
}

void page_table_close(struct page_table *table)
{
	if (!table)
		return;
	own_table_release(&table->of_nodes);
	own_table_release(&table->of_chunks);
	own_table_release(&table->of_spare);
	own_free(table, sizeof(*table));
}

static unsigned digit(uint64_t address, unsigned level)
{
	return (unsigned)(address >> (PAGE_SHIFT + PAGE_CHUNK_SHIFT + level * FAN_SHIFT)) &
	       (FAN - 1);
}

static uint32_t find_chunk(const struct page_table *table, uint64_t address)
{
	uint32_t middle = table->top.child[digit(address, 2)];
	uint32_t low = middle ? table->nodes[middle].child[digit(address, 1)] : 0;

	return low ? table->nodes[low].child[digit(address, 0)] : 0;
}

struct page *page_find(struct page_table *table, uint64_t address)
{
	uint32_t chunk = find_chunk(table, address);

	if (!chunk)
		return NULL;
	return &table->chunks[chunk].pages[(address >> PAGE_SHIFT) & (PAGE_CHUNK_PAGES - 1)];
}

static bool grow_node(struct page_table *table, uint32_t *child)
{
	if (*child)
		return true;
	if (table->nodes_used == MAX_NODES ||
	    !own_table_open(&table->of_nodes, (table->nodes_used + 1) * sizeof(struct node)))
		return false;
	*child = table->nodes_used++;
	return true;
}

/* One chunk more, and room to note all of them as given back. */
static bool can_grow(struct page_table *table)
{
	size_t chunks = table->chunks_used + 1ul;

	return chunks <= MAX_CHUNKS &&
	       own_table_open(&table->of_chunks, chunks * sizeof(struct page_chunk)) &&
	       own_table_open(&table->of_spare, chunks * sizeof(uint32_t));
}

static uint32_t take_chunk(struct page_table *table, uint64_t address)
{
	uint32_t chunk;
	struct page_chunk *at;

	if (table->spares)
		chunk = table->spare[--table->spares];
	else if (can_grow(table))
		chunk = table->chunks_used++;
	else
		return 0;
	at = &table->chunks[chunk];
	memset(at, 0, sizeof(*at));
	at->base = address & ~(PAGE_CHUNK_BYTES - 1);
	for (unsigned i = 0; i < PAGE_CHUNK_PAGES; i++)
		at->pages[i].slot = STORE_NO_SLOT;
	return chunk;
}

struct page *page_get(struct page_table *table, uint64_t address)
{
	uint32_t *middle = &table->top.child[digit(address, 2)];
	uint32_t *low, *chunk;

	if (!grow_node(table, middle))
		return NULL;
	low = &table->nodes[*middle].child[digit(address, 1)];
	if (!grow_node(table, low))
		return NULL;
	chunk = &table->nodes[*low].child[digit(address, 0)];
	if (!*chunk)
		*chunk = take_chunk(table, address);
	if (!*chunk)
		return NULL;
	return &table->chunks[*chunk].pages[(address >> PAGE_SHIFT) & (PAGE_CHUNK_PAGES - 1)];
}

static uint32_t chunk_of(const struct page_table *table, const struct page *page)
{
	return (uint32_t)((size_t)((const char *)page - (const char *)table->chunks) /
			  sizeof(struct page_chunk));
}

uint32_t page_id(struct page_table *table, const struct page *page)
{
	uint32_t chunk = chunk_of(table, page);

	return chunk << PAGE_CHUNK_SHIFT | (uint32_t)(page - table->chunks[chunk].pages);
}

struct page *page_by_id(struct page_table *table, uint32_t id)
{
	return &table->chunks[id >> PAGE_CHUNK_SHIFT].pages[id & (PAGE_CHUNK_PAGES - 1)];
}

uint64_t page_address(struct page_table *table, uint32_t id)
{
	return table->chunks[id >> PAGE_CHUNK_SHIFT].base +
	       ((uint64_t)(id & (PAGE_CHUNK_PAGES - 1)) << PAGE_SHIFT);
}

static void give_back_if_empty(struct page_table *table, uint32_t chunk)
{
	const struct page_chunk *at = &table->chunks[chunk];
	uint32_t middle, low;

	if (at->used || at->queued)
		return;
	middle = table->top.child[digit(at->base, 2)];
	low = table->nodes[middle].child[digit(at->base, 1)];
	table->nodes[low].child[digit(at->base, 0)] = 0;
	table->spare[table->spares++] = chunk;
}

void page_set(struct page_table *table, struct page *page, enum page_state state)
{
	uint32_t chunk = chunk_of(table, page);
	enum page_state old = page->state;

	if (old == state)
		return;
	page->state = state & 7;
	atomic_fetch_sub_explicit(&table->counts[old], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&table->counts[state], 1, memory_order_relaxed);
	if (old == PAGE_NONE)
		table->chunks[chunk].used++;
	if (state == PAGE_NONE) {
		table->chunks[chunk].used--;
		give_back_if_empty(table, chunk);
	}
}

void page_set_queued(struct page_table *table, struct page *page, bool queued)
{
	uint32_t chunk = chunk_of(table, page);

	if (page->queued == queued)
		return;
	page->queued = queued;
	if (queued) {
		table->chunks[chunk].queued++;
		return;
	}
	table->chunks[chunk].queued--;
	give_back_if_empty(table, chunk);
}

static void each_in_chunk(struct page_table *table, uint32_t chunk, uint64_t start, uint64_t end,
			  page_fn *fn, void *arg)
{
	struct page_chunk *at = &table->chunks[chunk];
	uint64_t base = at->base;

	/* used is looked at each time: with the last page the chunk goes back. */
	for (unsigned i = 0; i < PAGE_CHUNK_PAGES && at->used; i++) {
		uint64_t address = base + ((uint64_t)i << PAGE_SHIFT);

		if (address >= start && address < end && at->pages[i].state != PAGE_NONE)
			fn(arg, &at->pages[i], address);
	}
}

void page_each(struct page_table *table, uint64_t start, uint64_t end, page_fn *fn, void *arg)
{
	uint64_t at = start & ~(PAGE_CHUNK_BYTES - 1);
	uint64_t skip;
	uint32_t chunk;

	for (; at < end; at = (at + skip) & ~(skip - 1)) {
		uint32_t middle = table->top.child[digit(at, 2)];
		uint32_t low = middle ? table->nodes[middle].child[digit(at, 1)] : 0;

		skip = PAGE_CHUNK_BYTES << (!middle ? 2 * FAN_SHIFT : !low ? FAN_SHIFT : 0);
		chunk = low ? table->nodes[low].child[digit(at, 0)] : 0;
		if (chunk)
			each_in_chunk(table, chunk, start, end, fn, arg);
	}
}

uint64_t page_count(const struct page_table *table, enum page_state state)
{
	uint64_t count = atomic_load_explicit(&table->counts[state], memory_order_relaxed);

	return count > UINT64_MAX / 2 ? 0
				      : count; /* NONE counts below zero; others, for a moment */
}

uint64_t page_table_bytes(const struct page_table *table)
{
	return sizeof(*table) + table->nodes_used * sizeof(struct node) +
	       (uint64_t)(table->chunks_used - table->spares) * sizeof(struct page_chunk);
}
