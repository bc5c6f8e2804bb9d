/*
 * A page that leaves may be wanted back, dropped or moved by the program at any step. So nothing
 * here remembers a page: each step finds it anew under the map lock, through the staging area's
 * book, or, while its write is on the way, through the batch's list of numbers, which mremap keeps
 * up to date.
 *
 * page->writing says that page->slot is not valid yet. Whoever replaces or forgets such a slot must
 * not give it back: the batch does, when its write is over and the page no longer names it.
 */
#include "pager/write.h"

#include "common/base/hash.h"
#include "pager/own.h"

#include <errno.h>
#include <string.h>

#define BATCHES 8u
#define IO_BITS 8
#define DONE_BATCH 32u
#define RECLAIM_CHUNKS 64u

struct out {
	uint32_t id; /* page, or PAGE_NO_ID when nobody wants it any more. Under map_lock. */
	uint32_t slot;
	uint32_t place; /* in the staging area, until it has a slot */
	struct hash128 hash;
};

/* New content on its way to the store. */
struct batch {
	struct out outs[WRITER_PAGES];
	struct store_io io[WRITER_PAGES];
	uint8_t *buffer; /* WRITER_PAGES pages */
	uint32_t pages, slotted;
	uint32_t ios, posted, done;
	int status;
	_Atomic bool busy; /* whoever fills it sets this last; the take-out thread clears it last */
};

struct writer {
	struct engine *engine;
	struct batch batches[BATCHES];
	uint64_t reclaim_at; /* address up to which resident pages have given up their slots */
};

int writer_open(struct engine *engine, struct writer **out)
{
	struct writer *writer = own_alloc(sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->engine = engine;
	for (unsigned i = 0; i < BATCHES; i++) {
		writer->batches[i].buffer = own_alloc(WRITER_PAGES * PAGE_BYTES);
		if (!writer->batches[i].buffer)
			return -ENOMEM;
	}
	*out = writer;
	return 0;
}

int writer_register(struct writer *writer)
{
	int err = 0;

	for (unsigned i = 0; i < BATCHES && !err; i++)
		err = store_register(writer->engine->store, writer->batches[i].buffer,
				     WRITER_PAGES * PAGE_BYTES);
	return err;
}

/* ---- what they hold ---- */

/* The word that the page repeats, if it does. */
static bool is_one_word(const void *page, uint64_t *word)
{
	const uint64_t *words = page;

	if (words[0] != words[1] || memcmp(words, words + 1, PAGE_BYTES - sizeof(words[0])) != 0)
		return false;
	*word = words[0];
	return true;
}

static void release_slot(struct engine *engine, struct page *page)
{
	if (page->slot != STORE_NO_SLOT && !page->writing)
		store_slot_give(engine->store, page->slot);
	page->slot = STORE_NO_SLOT;
	page->writing = 0;
}

struct sight {
	struct hash128 hash; /* or the word in low */
	bool one_word;
};

/* Also for a page that somebody has wanted back meanwhile. */
static void look_closely(struct engine *engine, const void *page, uint32_t place,
			 struct sight *sight)
{
	uint64_t address = engine->stage.came_from[place];
	uint32_t word_at, tid;

	sight->hash = hash128_of(page, PAGE_BYTES);
	if (exits_find(&engine->exits, page, address, &word_at, &tid))
		exits_note(&engine->exits, address + word_at, tid);
}

/* Returns whether the page must be written. Under map_lock. */
static bool judge(struct writer *writer, uint32_t place, const struct sight *sight)
{
	struct engine *engine = writer->engine;
	struct page *page;

	if (engine->stage.ids[place] == PAGE_NO_ID) {
		engine->stage.phases[place] = STAGE_DEAD;
		return false;
	}
	page = page_by_id(engine->table, engine->stage.ids[place]);
	if (sight->one_word) {
		release_slot(engine, page);
		page->hash = sight->hash;
		engine->stage.phases[place] = STAGE_KEPT;
		stats_count(&engine->stats->taken_filled, 1);
		return false;
	}
	if (page->slot != STORE_NO_SLOT && store_slot_alive(engine->store, page->slot) &&
	    hash128_equal(page->hash, sight->hash)) {
		engine->stage.phases[place] = page->writing ? STAGE_WRITING : STAGE_KEPT;
		stats_count(&engine->stats->taken_clean, 1);
		return false;
	}
	return true;
}

static struct batch *free_batch(struct writer *writer)
{
	for (unsigned i = 0; i < BATCHES; i++)
		if (!writer->batches[i].busy)
			return &writer->batches[i];
	return NULL;
}

static unsigned busy_batches(const struct writer *writer)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BATCHES; i++)
		n += writer->batches[i].busy;
	return n;
}

void writer_look(struct writer *writer, uint64_t first, uint64_t end)
{
	struct engine *engine = writer->engine;
	struct batch *batch = free_batch(writer);
	struct sight sights[WRITER_PAGES];
	uint32_t n = (uint32_t)(end - first);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t place = stage_place(&engine->stage, first + i);
		const void *page = (const void *)(uintptr_t)stage_address(&engine->stage, place);

		if (engine->stage.phases[place] != STAGE_BUSY) /* it never came: remap.h */
			continue;
		sights[i].hash = (struct hash128){0, 0};
		sights[i].one_word = is_one_word(page, &sights[i].hash.low);
		if (!sights[i].one_word)
			look_closely(engine, page, place, &sights[i]);
	}
	batch->pages = 0;
	engine_lock_last(engine);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t place = stage_place(&engine->stage, first + i);

		if (engine->stage.phases[place] == STAGE_BUSY && judge(writer, place, &sights[i]))
			batch->outs[batch->pages++] =
				(struct out){PAGE_NO_ID, STORE_NO_SLOT, place, sights[i].hash};
	}
	engine_unlock(engine);
	if (!batch->pages)
		return;
	for (uint32_t i = 0; i < batch->pages; i++)
		memcpy(batch->buffer + i * PAGE_BYTES,
		       (const void *)(uintptr_t)stage_address(&engine->stage, batch->outs[i].place),
		       PAGE_BYTES);
	batch->slotted = batch->ios = batch->posted = batch->done = 0;
	batch->status = 0;
	atomic_store(&batch->busy, true);
}

/* ---- to the store ---- */

/* The content of a staged page is in the buffer and has a slot: the page itself may go. */
static void assign(struct engine *engine, struct out *out)
{
	struct page *page;

	if (engine->stage.ids[out->place] == PAGE_NO_ID) {
		engine->stage.phases[out->place] = STAGE_DEAD;
		return;
	}
	out->id = engine->stage.ids[out->place];
	page = page_by_id(engine->table, out->id);
	release_slot(engine, page);
	page->slot = out->slot;
	page->hash = out->hash;
	page->writing = 1;
	engine->stage.phases[out->place] = STAGE_WRITING;
}

/* A slot after the donor of the first one was lost: the page may have gone anywhere meanwhile. */
static void reassign(struct engine *engine, struct out *out, uint32_t slot)
{
	struct page *page;

	if (out->id == PAGE_NO_ID)
		goto out;
	page = page_by_id(engine->table, out->id);
	if (page->writing && page->slot == out->slot)
		page->slot = slot;
	else
		out->id = PAGE_NO_ID;
out:
	out->slot = slot;
}

static void list_writes(struct writer *writer, struct batch *batch)
{
	uint64_t number = (uint64_t)(batch - writer->batches);

	batch->ios = batch->posted = batch->done = 0;
	for (uint32_t i = 0; i < batch->pages; i++) {
		struct store_io *last = batch->ios ? &batch->io[batch->ios - 1] : NULL;
		uint32_t slot = batch->outs[i].slot;

		if (last && store_io_extend(last, slot))
			continue;
		batch->io[batch->ios] = (struct store_io){
			.slot = slot,
			.count = 1,
			.buffer = batch->buffer + i * PAGE_BYTES,
			.cookie = number << IO_BITS | batch->ios,
		};
		batch->ios++;
	}
}

/* Finds slots for the rest of the batch. Returns how many were found. */
static unsigned find_slots(struct writer *writer, struct batch *batch)
{
	struct engine *engine = writer->engine;
	uint32_t slots[WRITER_PAGES];
	unsigned n = store_slots_take(engine->store, batch->pages - batch->slotted, slots);

	engine_lock_last(engine);
	for (unsigned i = 0; i < n; i++) {
		struct out *out = &batch->outs[batch->slotted++];

		if (out->slot != STORE_NO_SLOT) {
			reassign(engine, out, slots[i]);
			continue;
		}
		out->slot = slots[i];
		assign(engine, out);
	}
	engine_unlock(engine);
	if (n && batch->slotted == batch->pages)
		list_writes(writer, batch);
	return n;
}

static void stored(struct engine *engine, const struct out *out)
{
	struct page *page;

	page = out->id == PAGE_NO_ID ? NULL : page_by_id(engine->table, out->id);
	if (!page || !page->writing || page->slot != out->slot) {
		store_slot_give(engine->store, out->slot);
		return;
	}
	page->writing = 0;
	if (page->state == PAGE_STAGED && engine->stage.phases[page->where] == STAGE_WRITING)
		engine->stage.phases[page->where] = STAGE_KEPT;
}

static void finish(struct writer *writer, struct batch *batch)
{
	struct engine *engine = writer->engine;

	if (batch->status) { /* the donor is gone: the content is still in the buffer */
		batch->slotted = batch->ios = batch->posted = batch->done = 0;
		batch->status = 0;
		return;
	}
	engine_lock_last(engine);
	for (uint32_t i = 0; i < batch->pages; i++)
		stored(engine, &batch->outs[i]);
	engine_unlock(engine);
	stats_count(&engine->stats->written, batch->pages);
	atomic_store(&batch->busy, false);
}

void writer_renumber(struct writer *writer, uint32_t from, uint32_t to)
{
	for (unsigned b = 0; b < BATCHES; b++)
		for (uint32_t i = 0; writer->batches[b].busy && i < writer->batches[b].pages; i++)
			if (writer->batches[b].outs[i].id == from)
				writer->batches[b].outs[i].id = to;
}

static unsigned take_completions(struct writer *writer)
{
	struct store_done done[DONE_BATCH];
	unsigned n = store_poll(writer->engine->store, STORE_WRITES, done, DONE_BATCH);

	for (unsigned i = 0; i < n; i++) {
		struct batch *batch = &writer->batches[done[i].cookie >> IO_BITS];

		batch->done++;
		if (done[i].status)
			batch->status = done[i].status;
		if (batch->done == batch->ios)
			finish(writer, batch);
	}
	return n;
}

unsigned writer_turn(struct writer *writer)
{
	unsigned did = 0, n;

	if (!writer_is_busy(writer))
		return 0;
	for (unsigned i = 0; i < BATCHES; i++) {
		struct batch *batch = &writer->batches[i];

		if (!batch->busy)
			continue;
		if (batch->slotted < batch->pages)
			did += find_slots(writer, batch);
		if (batch->slotted < batch->pages || batch->posted == batch->ios)
			continue;
		n = store_post(writer->engine->store, STORE_WRITES, &batch->io[batch->posted],
			       batch->ios - batch->posted);
		batch->posted += n;
		did += n;
	}
	return did + take_completions(writer);
}

/* ---- no slots left ---- */

static void give_slot(void *arg, struct page *page, uint64_t address UNUSED)
{
	struct engine *engine = arg;

	if (page->state == PAGE_RESIDENT)
		release_slot(engine, page);
}

/* Resident pages keep their slots, in case they leave unchanged. When slots are scarce they let go.
 */
bool writer_reclaim(struct writer *writer)
{
	struct engine *engine = writer->engine;
	uint64_t end = writer->reclaim_at + RECLAIM_CHUNKS * PAGE_CHUNK_BYTES;
	struct region gap;

	engine_lock_last(engine);
	if (regions_gap(&engine->regions, writer->reclaim_at, PAGE_TABLE_END, &gap) &&
	    gap.start == writer->reclaim_at)
		end = gap.end; /* nothing of ours here: on to the next region */
	else
		page_each(engine->table, writer->reclaim_at, end, give_slot, engine);
	engine_unlock(engine);
	writer->reclaim_at = end < PAGE_TABLE_END ? end : 0;
	return writer->reclaim_at == 0;
}

bool writer_waits_for_slots(const struct writer *writer)
{
	for (unsigned i = 0; i < BATCHES; i++)
		if (writer->batches[i].busy &&
		    writer->batches[i].slotted < writer->batches[i].pages)
			return true;
	return false;
}

bool writer_is_busy(const struct writer *writer)
{
	return busy_batches(writer) > 0;
}

bool writer_has_room(const struct writer *writer)
{
	return busy_batches(writer) < BATCHES;
}
