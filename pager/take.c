/*
 * The take-out thread. A page goes this way, each step in a batch:
 *
 *   eviction order ─ victims ─ UFFDIO_MOVE ─▶ staged, BUSY
 *   look: one word ──▶ KEPT     unchanged ──▶ KEPT     new ──▶ copied to a batch's buffer
 *   batch: slots, one large write ──▶ WRITING ──▶ KEPT
 *   tail of the staging area ──▶ dropped: REMOTE or FILLED
 *
 * A page may be wanted back, dropped or moved by the program at any step in between. So nothing
 * here remembers a page: each step finds it anew under the map lock, through the staging area's
 * book, or, while its write is on the way, through the batch's list of numbers, which mremap keeps
 * up to date.
 *
 * page->writing says that page->slot is not valid yet. Whoever replaces or forgets such a slot must
 * not give it back: the batch does, when its write is over and the page no longer names it.
 */
#include "pager/take.h"

#include "common/base/hash.h"
#include "pager/own.h"
#include "pager/pagemap.h"
#include "pager/thread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#define BATCH_PAGES STORE_MAX_RUN
#define BATCHES 8u
#define VICTIMS BATCH_PAGES
#define RUNS_PER_LOCK 8u /* single pages cost 1 us each under the lock; faults wait for it */
#define IO_BITS 8
#define DONE_BATCH 32u
#define NAP_NS 200000u
#define RECLAIM_CHUNKS 64u

struct out {
	uint32_t id; /* page, or PAGE_NO_ID when nobody wants it any more. Under map_lock. */
	uint32_t slot;
	uint32_t place; /* in the staging area, until it has a slot */
	struct hash128 hash;
};

/* New content on its way to the store. */
struct batch {
	struct out outs[BATCH_PAGES];
	struct store_io io[BATCH_PAGES];
	uint8_t *buffer; /* BATCH_PAGES pages */
	uint32_t pages, slotted;
	uint32_t ios, posted, done;
	int status;
	bool busy;
};

struct take_thread {
	struct engine *engine;
	uint32_t victims[VICTIMS]; /* popped, still marked as queued */
	uint32_t victim_count;
	uint64_t shared[VICTIMS]; /* addresses that fork has left shared */
	uint32_t shared_count;
	struct batch batches[BATCHES];
	uint32_t busy_batches;
	bool barren;	     /* the last attempt found nothing that the kernel would give */
	uint64_t reclaim_at; /* address up to which resident pages have given up their slots */
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* ---- out of the program ---- */

/* Fills the list of victims. Under map_lock. */
static void choose(struct take_thread *take)
{
	struct engine *engine = take->engine;
	uint32_t id;

	while (take->victim_count < VICTIMS && fifo_pop(engine->order, &id)) {
		struct page *page = page_by_id(engine->table, id);

		if (page->state == PAGE_RESIDENT)
			take->victims[take->victim_count++] = id;
		else
			page_set_queued(engine->table, page, false);
	}
}

/* Victims from `i` on that lie side by side and are still resident. */
static uint32_t run_of(struct take_thread *take, uint32_t i)
{
	struct page_table *table = take->engine->table;
	uint32_t n = 0;

	while (i + n < take->victim_count && take->victims[i + n] == take->victims[i] + n &&
	       page_by_id(table, take->victims[i + n])->state == PAGE_RESIDENT &&
	       page_address(table, take->victims[i]) + n * PAGE_BYTES ==
		       page_address(table, take->victims[i + n]))
		n++;
	return n;
}

static void now_staged(struct engine *engine, uint32_t id)
{
	struct page *page = page_by_id(engine->table, id);
	uint32_t place = stage_place(&engine->stage, engine->stage.head++);

	page->where = place & 0x3ffffff;
	page->ahead = 0;
	page_set(engine->table, page, PAGE_STAGED);
	page_set_queued(engine->table, page, false);
	engine->stage.ids[place] = id;
	engine->stage.phases[place] = STAGE_BUSY;
}

/* The kernel would not move this one. Under map_lock. */
static void refused(struct take_thread *take, uint32_t id, int err)
{
	struct engine *engine = take->engine;
	struct page *page = page_by_id(engine->table, id);

	/* Dropped by the kernel (MADV_FREE): zeros from now on. */
	if (err == -ENOENT && engine->removed.head &&
	    !pagemap_page_is_there(engine->pagemap_fd, page_address(engine->table, id))) {
		engine_drop(engine, page);
		page_set_queued(engine->table, page, false);
		return;
	}
	count(&engine->stats->refused, 1);
	if (err == -EBUSY && atomic_load_explicit(&engine->forks, memory_order_relaxed))
		take->shared[take->shared_count++] = page_address(engine->table, id);
	if (!fifo_push(engine->order, id))
		page_set_queued(engine->table, page, false);
}

/* A victim that has been dropped or taken meanwhile. */
static void pass_over(struct take_thread *take, uint32_t id)
{
	page_set_queued(take->engine->table, page_by_id(take->engine->table, id), false);
}

/*
 * Moves victims from *i on, a few runs at most. Returns 0, or -EAGAIN when the map is changing, or
 * -ENOBUFS when the staging area is full.
 */
static int move_some(struct take_thread *take, uint32_t *i, unsigned *moved_pages)
{
	struct engine *engine = take->engine;
	struct stage *stage = &engine->stage;

	if (engine->unsettled)
		return -EAGAIN;
	for (unsigned runs = 0; runs < RUNS_PER_LOCK && *i < take->victim_count &&
				!(runs && atomic_load(&engine->lock_wanted));
	     runs++) {
		uint32_t n = run_of(take, *i);
		uint64_t moved;
		int err;

		if (!n) {
			pass_over(take, take->victims[(*i)++]);
			continue;
		}
		n = stage_room(stage, n);
		if (!n)
			return -ENOBUFS;
		err = uffd_move(engine->uffd, stage_address(stage, stage_place(stage, stage->head)),
				page_address(engine->table, take->victims[*i]),
				(uint64_t)n << PAGE_SHIFT, false, &moved);
		for (n = (uint32_t)(moved >> PAGE_SHIFT); n; n--, (*moved_pages)++)
			now_staged(engine, take->victims[(*i)++]);
		if (err == -EAGAIN)
			return err;
		if (err)
			refused(take, take->victims[(*i)++], err);
	}
	return 0;
}

/*
 * After a fork pages are shared copy-on-write, or were until the child went; the kernel moves only
 * pages that it knows to be exclusive. Writing nothing to them makes them so (madvise(2)). Not
 * under the lock: the page may be gone by now, and then this is a fault like any other.
 */
static void make_exclusive(struct take_thread *take)
{
	for (uint32_t i = 0; i < take->shared_count; i++)
		(void)madvise((void *)(uintptr_t)take->shared[i], PAGE_BYTES, MADV_POPULATE_WRITE);
	take->shared_count = 0;
}

static void look(struct take_thread *take, uint64_t first, uint64_t end);

/* Takes out up to a batch of pages. Returns how many. */
static unsigned take_out(struct take_thread *take)
{
	struct engine *engine = take->engine;
	uint64_t first = engine->stage.head;
	unsigned moved = 0;
	uint32_t i = 0;
	int err = 0;

	while (!err && (i == 0 || i < take->victim_count)) {
		engine_lock_last(engine);
		if (i == 0)
			choose(take);
		err = move_some(take, &i, &moved);
		engine_unlock(engine);
		if (!take->victim_count)
			break;
	}
	memmove(take->victims, take->victims + i,
		(take->victim_count - i) * sizeof(take->victims[0]));
	take->victim_count -= i;
	make_exclusive(take);
	take->barren = !err && !moved;
	count(&engine->stats->taken, moved);
	if (moved)
		look(take, first, engine->stage.head);
	return moved;
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

/* Returns whether the page must be written. Under map_lock. */
static bool judge(struct take_thread *take, uint32_t place, const struct sight *sight)
{
	struct engine *engine = take->engine;
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
		count(&engine->stats->taken_filled, 1);
		return false;
	}
	if (page->slot != STORE_NO_SLOT && store_slot_alive(engine->store, page->slot) &&
	    hash128_equal(page->hash, sight->hash)) {
		engine->stage.phases[place] = page->writing ? STAGE_WRITING : STAGE_KEPT;
		count(&engine->stats->taken_clean, 1);
		return false;
	}
	return true;
}

static struct batch *free_batch(struct take_thread *take)
{
	for (unsigned i = 0; i < BATCHES; i++)
		if (!take->batches[i].busy)
			return &take->batches[i];
	return NULL;
}

/* Looks at the BUSY places [first, end): at most a batch, and there is a free one (see may_take).
 */
static void look(struct take_thread *take, uint64_t first, uint64_t end)
{
	struct engine *engine = take->engine;
	struct batch *batch = free_batch(take);
	struct sight sights[VICTIMS];
	uint32_t n = (uint32_t)(end - first);

	for (uint32_t i = 0; i < n; i++) {
		const void *page = (const void *)(uintptr_t)stage_address(
			&engine->stage, stage_place(&engine->stage, first + i));

		sights[i].hash = (struct hash128){0, 0};
		sights[i].one_word = is_one_word(page, &sights[i].hash.low);
		if (!sights[i].one_word)
			sights[i].hash = hash128_of(page, PAGE_BYTES);
	}
	batch->pages = 0;
	engine_lock_last(engine);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t place = stage_place(&engine->stage, first + i);

		if (judge(take, place, &sights[i]))
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
	batch->busy = true;
	take->busy_batches++;
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

static void list_writes(struct take_thread *take, struct batch *batch)
{
	uint64_t number = (uint64_t)(batch - take->batches);

	batch->ios = batch->posted = batch->done = 0;
	for (uint32_t i = 0; i < batch->pages; i++) {
		struct store_io *last = batch->ios ? &batch->io[batch->ios - 1] : NULL;
		uint32_t slot = batch->outs[i].slot;

		if (last && slot == last->slot + last->count &&
		    slot >> STORE_SLAB_SHIFT == last->slot >> STORE_SLAB_SHIFT) {
			last->count++;
			continue;
		}
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
static unsigned find_slots(struct take_thread *take, struct batch *batch)
{
	struct engine *engine = take->engine;
	uint32_t slots[BATCH_PAGES];
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
		list_writes(take, batch);
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

static void finish(struct take_thread *take, struct batch *batch)
{
	struct engine *engine = take->engine;

	if (batch->status) { /* the donor is gone: the content is still in the buffer */
		batch->slotted = batch->ios = batch->posted = batch->done = 0;
		batch->status = 0;
		return;
	}
	engine_lock_last(engine);
	for (uint32_t i = 0; i < batch->pages; i++)
		stored(engine, &batch->outs[i]);
	engine_unlock(engine);
	count(&engine->stats->written, batch->pages);
	batch->busy = false;
	take->busy_batches--;
}

void take_renumber(struct engine *engine, uint32_t from, uint32_t to)
{
	struct take_thread *take = engine->take;

	for (unsigned b = 0; b < BATCHES; b++)
		for (uint32_t i = 0; take->batches[b].busy && i < take->batches[b].pages; i++)
			if (take->batches[b].outs[i].id == from)
				take->batches[b].outs[i].id = to;
}

static unsigned take_completions(struct take_thread *take)
{
	struct store_done done[DONE_BATCH];
	unsigned n = store_poll(take->engine->store, STORE_WRITES, done, DONE_BATCH);

	for (unsigned i = 0; i < n; i++) {
		struct batch *batch = &take->batches[done[i].cookie >> IO_BITS];

		batch->done++;
		if (done[i].status)
			batch->status = done[i].status;
		if (batch->done == batch->ios)
			finish(take, batch);
	}
	return n;
}

static unsigned write_out(struct take_thread *take)
{
	unsigned did = 0, n;

	if (!take->busy_batches)
		return 0;
	for (unsigned i = 0; i < BATCHES; i++) {
		struct batch *batch = &take->batches[i];

		if (!batch->busy)
			continue;
		if (batch->slotted < batch->pages)
			did += find_slots(take, batch);
		if (batch->slotted < batch->pages || batch->posted == batch->ios)
			continue;
		n = store_post(take->engine->store, STORE_WRITES, &batch->io[batch->posted],
			       batch->ios - batch->posted);
		batch->posted += n;
		did += n;
	}
	return did + take_completions(take);
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
static void reclaim(struct take_thread *take)
{
	struct engine *engine = take->engine;
	uint64_t end = take->reclaim_at + RECLAIM_CHUNKS * PAGE_CHUNK_BYTES;
	struct region gap;

	engine_lock_last(engine);
	if (regions_gap(&engine->regions, take->reclaim_at, PAGE_TABLE_END, &gap) &&
	    gap.start == take->reclaim_at)
		end = gap.end; /* nothing of ours here: on to the next region */
	else
		page_each(engine->table, take->reclaim_at, end, give_slot, engine);
	engine_unlock(engine);
	take->reclaim_at = end < PAGE_TABLE_END ? end : 0;
}

static bool waits_for_slots(const struct take_thread *take)
{
	for (unsigned i = 0; i < BATCHES; i++)
		if (take->batches[i].busy && take->batches[i].slotted < take->batches[i].pages)
			return true;
	return false;
}

/* ---- the tail ---- */

static void now_out(struct engine *engine, uint32_t id)
{
	struct page *page = page_by_id(engine->table, id);

	page->where = 0;
	page_set(engine->table, page, page->slot == STORE_NO_SLOT ? PAGE_FILLED : PAGE_REMOTE);
}

/* Drops up to n pages from the tail on. Returns how many places became free. */
static unsigned drop(struct take_thread *take, uint64_t n)
{
	struct engine *engine = take->engine;
	struct stage *stage = &engine->stage;
	uint32_t places = 0;

	if (n > STAGE_DROP_PAGES)
		n = STAGE_DROP_PAGES;
	engine_lock_last(engine);
	while (places < STAGE_DROP_PAGES && places < stage_level(stage)) {
		uint32_t place = stage_place(stage, stage->tail + places);
		uint8_t phase = stage->phases[place];

		if (phase == STAGE_BUSY || phase == STAGE_WRITING || (phase == STAGE_KEPT && !n))
			break;
		if (phase == STAGE_KEPT) {
			now_out(engine, stage->ids[place]);
			stage->phases[place] = STAGE_DEAD;
			n--;
		}
		places++;
	}
	engine_unlock(engine);
	if (!places)
		return 0;
	stage_drop(stage, stage->tail, places);
	engine_lock_last(engine);
	stage->tail += places;
	engine_unlock(engine);
	return places;
}

/* ---- the thread ---- */

static uint64_t pages_over(const struct engine *engine, uint64_t mark)
{
	uint64_t used = engine_used(engine);

	return used > mark ? used - mark : 0;
}

static bool may_take(struct take_thread *take)
{
	const struct engine *engine = take->engine;

	return stage_level(&engine->stage) < engine->budget.staged && free_batch(take);
}

static unsigned turn(struct take_thread *take)
{
	struct engine *engine = take->engine;
	uint64_t over = pages_over(engine, engine->budget.low);
	unsigned did = write_out(take);

	if (over) {
		did += drop(take, over);
		if (may_take(take))
			did += take_out(take);
	}
	return did;
}

/* Waits for the donors, or a moment, or until it is wanted. */
static void rest(struct take_thread *take)
{
	struct engine *engine = take->engine;
	uint32_t seen = atomic_load(&engine->take_word);
	struct pollfd fds[STORE_LANE_FDS];
	int n;

	if (take->busy_batches && !waits_for_slots(take)) {
		n = store_arm(engine->store, STORE_WRITES, fds, ARRAY_LEN(fds));
		if (n >= 0)
			(void)poll(fds, (nfds_t)n, 1);
		return;
	}
	if (take->busy_batches || pages_over(engine, engine->budget.high)) {
		futex_sleep(&engine->take_word, seen, NAP_NS);
		return;
	}
	atomic_store(&engine->take_asleep, 1);
	if (!pages_over(engine, engine->budget.high) && !atomic_load(&engine->recalls))
		futex_sleep(&engine->take_word, seen, 0);
	atomic_store(&engine->take_asleep, 0);
}

static void note_fullness(struct take_thread *take)
{
	struct engine *engine = take->engine;
	bool full = waits_for_slots(take) && store_is_full(engine->store);

	if (full)
		reclaim(take);
	full = full && !store_slots_free(engine->store) && take->reclaim_at == 0;
	if (full)
		atomic_store(&engine->over_budget, 1);
	else if (!waits_for_slots(take))
		atomic_store(&engine->over_budget, 0);
}

static void pause_for_recall(struct engine *engine)
{
	uint32_t wanted = atomic_load(&engine->recall_turn);

	if (atomic_exchange(&engine->take_paused, wanted) != wanted)
		engine_wake_fault(engine);
}

/* The program goes on allocating while the donors are being connected; that may take seconds. */
static void adopt_meanwhile(struct engine *engine)
{
	uint32_t seen = atomic_load(&engine->take_word);

	while (!atomic_load(&engine->opening_over)) {
		futex_sleep(&engine->take_word, seen, engine_watch(engine));
		seen = atomic_load(&engine->take_word);
	}
	engine_thread_ready(engine);
	while (atomic_load(&engine->phase) == ENGINE_OPENING) {
		futex_sleep(&engine->take_word, seen, NAP_NS);
		seen = atomic_load(&engine->take_word);
	}
}

static void *run(void *arg)
{
	struct take_thread *take = arg;
	struct engine *engine = take->engine;
	unsigned did;

	engine_thread_ready(engine);
	adopt_meanwhile(engine);
	if (atomic_load(&engine->phase) == ENGINE_UNPAGED)
		return NULL;
	for (;;) {
		if (atomic_load(&engine->recalls)) {
			pause_for_recall(engine);
			if (!write_out(take))
				futex_sleep(&engine->take_word, atomic_load(&engine->take_word),
					    NAP_NS);
			continue;
		}
		did = turn(take);
		atomic_store_explicit(&engine->take_stuck,
				      !did && !take->busy_batches && take->barren,
				      memory_order_relaxed);
		if (did)
			continue;
		note_fullness(take);
		rest(take);
	}
	return NULL;
}

int take_start(struct engine *engine)
{
	struct take_thread *take = own_alloc(sizeof(*take));

	if (!take)
		return -ENOMEM;
	take->engine = engine;
	for (unsigned i = 0; i < BATCHES; i++) {
		take->batches[i].buffer = own_alloc(BATCH_PAGES * PAGE_BYTES);
		if (!take->batches[i].buffer)
			return -ENOMEM;
	}
	engine->take = take;
	return thread_start(run, take);
}

int take_register(struct engine *engine)
{
	int err = 0;

	for (unsigned i = 0; i < BATCHES && !err; i++)
		err = store_register(engine->store, engine->take->batches[i].buffer,
				     BATCH_PAGES * PAGE_BYTES);
	return err;
}
