#include "pager/fifo.h"

#include "pager/own.h"

#include <errno.h>

#define BLOCK_IDS 1022u /* a block is a page */
#define MAX_BLOCKS ((1u << 28) / BLOCK_IDS)
#define NO_BLOCK 0u

struct block {
	uint32_t next; /* towards the back; also links spare blocks */
	uint32_t unused;
	uint32_t ids[BLOCK_IDS];
};

struct fifo {
	struct block *blocks; /* in `table`; block 0 is never used */
	struct own_table table;
	uint32_t front, back; /* blocks */
	uint32_t front_at, back_at;
	uint32_t spare; /* list */
	uint32_t fresh; /* first block never used yet */
	uint32_t in_use;
	uint64_t length;
};

int fifo_open(struct fifo **out)
{
	struct fifo *fifo = own_alloc(sizeof(*fifo));

	if (!fifo)
		return -ENOMEM;
	if (own_table_reserve(&fifo->table, MAX_BLOCKS * sizeof(struct block))) {
		own_free(fifo, sizeof(*fifo));
		return -ENOMEM;
	}
	fifo->blocks = fifo->table.base;
	fifo->fresh = 1;
	*out = fifo;
	return 0;
}

void fifo_close(struct fifo *fifo)
{
	if (!fifo)
		return;
	own_table_release(&fifo->table);
	own_free(fifo, sizeof(*fifo));
}

static uint32_t take_block(struct fifo *fifo)
{
	uint32_t block = fifo->spare;

	if (block)
		fifo->spare = fifo->blocks[block].next;
	else if (fifo->fresh < MAX_BLOCKS &&
		 own_table_open(&fifo->table, (fifo->fresh + 1ul) * sizeof(struct block)))
		block = fifo->fresh++;
	if (!block)
		return NO_BLOCK;
	fifo->blocks[block].next = NO_BLOCK;
	fifo->in_use++;
	return block;
}

static void give_block(struct fifo *fifo, uint32_t block)
{
	fifo->blocks[block].next = fifo->spare;
	fifo->spare = block;
	fifo->in_use--;
}

bool fifo_push(struct fifo *fifo, uint32_t id)
{
	uint32_t block;

	if (!fifo->back || fifo->back_at == BLOCK_IDS) {
		block = take_block(fifo);
		if (!block)
			return false;
		if (fifo->back)
			fifo->blocks[fifo->back].next = block;
		else
			fifo->front = block;
		fifo->back = block;
		fifo->back_at = 0;
	}
	fifo->blocks[fifo->back].ids[fifo->back_at++] = id;
	fifo->length++;
	return true;
}

bool fifo_peek(const struct fifo *fifo, uint32_t *out)
{
	if (!fifo->length)
		return false;
	*out = fifo->blocks[fifo->front].ids[fifo->front_at];
	return true;
}

bool fifo_pop(struct fifo *fifo, uint32_t *out)
{
	uint32_t block = fifo->front;

	if (!fifo_peek(fifo, out))
		return false;
	fifo->front_at++;
	fifo->length--;
	if (fifo->front_at < BLOCK_IDS && fifo->length)
		return true;
	fifo->front = fifo->blocks[block].next;
	fifo->front_at = 0;
	if (!fifo->front)
		fifo->back = NO_BLOCK;
	give_block(fifo, block);
	return true;
}

uint64_t fifo_length(const struct fifo *fifo)
{
	return fifo->length;
}

uint64_t fifo_bytes(const struct fifo *fifo)
{
	return sizeof(*fifo) + (uint64_t)fifo->in_use * sizeof(struct block);
}
