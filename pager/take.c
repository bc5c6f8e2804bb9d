/*
 * Taking out. A page goes this way, each step in a batch:
 *
 *   eviction order ─ victims ─ UFFDIO_MOVE ─▶ staged, BUSY
 *   look: one word ──▶ KEPT     unchanged ──▶ KEPT     new ──▶ copied to a batch's buffer
 *   batch: slots, one large write ──▶ WRITING ──▶ KEPT
 *   tail of the staging area ──▶ dropped: REMOTE or FILLED
 *
 * The second and third line are write.c's. Two threads do this: the fault thread a little after
 * each fault that needed room, and the take-out thread what is left to do when nobody faults.
 * Whoever holds the take lock is at it; the other one goes on without.
 */
#include "pager/take.h"

#include "common/base/clock.h"
#include "pager/move.h"
#include "pager/own.h"
#include "pager/pagemap.h"
#include "pager/thread.h"
#include "pager/unshare.h"
#include "pager/write.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define VICTIMS WRITER_PAGES
#define RUNS_PER_LOCK 8u /* single pages cost 1 us each under the lock; faults wait for it */
#define NAP_NS 200000u
#define LONG_NAP_NS 20000000u /* when all there is has been tried in vain */
#define VAIN_NS 400000u	      /* of trying again, between two of those */
#define SOME_RUNS 32u	      /* by the fault thread: other faults wait meanwhile */

struct take {
	struct engine *engine;
	struct lock lock;	   /* guards all below, and the tail of the staging area */
	uint32_t victims[VICTIMS]; /* popped, still marked as queued */
	uint32_t victim_count;
	struct unshare unshare;	  /* what fork has left shared */
	uint32_t longest;	  /* run that was one mapping lately; without UFFDIO_MOVE */
	bool draining;		  /* the thread is on the way down to the mark `low`; its own */
	bool waits;		  /* the writer, for slots, as the care thread knows */
	_Atomic bool barren;	  /* the last attempt found nothing that the kernel would give */
	uint64_t in_vain;	  /* pages tried since the kernel gave one */
	_Atomic bool all_in_vain; /* that was every page there is */
};

/* ---- out of the program ---- */

/* Fills the list of victims. Under map_lock. */
static void choose(struct take *take)
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
static uint32_t run_of(struct take *take, uint32_t i)
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

/* The kernel would not move this one. Under map_lock. */
static void refused(struct take *take, uint32_t id, int err)
{
	struct engine *engine = take->engine;
	struct page *page = page_by_id(engine->table, id);

	/* Dropped by the kernel (MADV_FREE): zeros from now on. */
	if (err == -ENOENT && page->found &&
	    !pagemap_page_is_there(engine->pagemap_fd, page_address(engine->table, id))) {
		engine_drop(engine, page);
		page_set_queued(engine->table, page, false);
		return;
	}
	stats_count(&engine->stats->refused, 1);
	if (err == -EBUSY && atomic_load_explicit(&engine->forks, memory_order_relaxed))
		unshare_note(&take->unshare, page_address(engine->table, id));
	if (!fifo_push(engine->order, id))
		page_set_queued(engine->table, page, false);
}

/* A victim that has been dropped or taken meanwhile. */
static void pass_over(struct take *take, uint32_t id)
{
	page_set_queued(take->engine->table, page_by_id(take->engine->table, id), false);
}

/*
 * Moves victims from *i on, a few of *left runs. Returns 0, or -EAGAIN when the map is changing, or
 * -ENOBUFS when the staging area is full.
 */
static int move_some(struct take *take, uint32_t *i, unsigned *left, unsigned *moved_pages)
{
	struct engine *engine = take->engine;
	struct stage *stage = &engine->stage;

	if (engine->unsettled)
		return -EAGAIN;
	for (unsigned runs = 0; runs < RUNS_PER_LOCK && *left && *i < take->victim_count &&
				!(runs && atomic_load(&engine->lock_wanted));
	     runs++, (*left)--) {
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
		err = move_counted(engine->uffd, engine->pagemap_fd,
				   stage_address(stage, stage_place(stage, stage->head)),
				   page_address(engine->table, take->victims[*i]),
				   (uint64_t)n << PAGE_SHIFT, &moved);
		for (n = (uint32_t)(moved >> PAGE_SHIFT); n; n--, (*moved_pages)++)
			engine_now_staged(engine, take->victims[(*i)++]);
		if (err == -EAGAIN)
			return err;
		if (err == -EEXIST) /* filled for mlockall(2): locked_let_pass() */
			stage_clear_head(stage);
		else if (err)
			refused(take, take->victims[(*i)++], err);
	}
	return 0;
}

/* The next run, after those victims that are not resident any more. Under map_lock. */
static uint32_t next_run(struct take *take, uint32_t *i)
{
	uint32_t n = 0;

	while (*i < take->victim_count && !(n = run_of(take, *i)))
		pass_over(take, take->victims[(*i)++]);
	return n < take->longest ? n : take->longest;
}

/* Begins with the next run. Returns its pages, or 0 with *err. Under map_lock. */
static uint32_t begin_remap(struct take *take, uint32_t *i, int *err)
{
	struct engine *engine = take->engine;
	uint32_t n = next_run(take, i);

	*err = engine->unsettled ? -EAGAIN : 0;
	if (!n || *err)
		return 0;
	n = stage_room(&engine->stage, n);
	*err = n ? remap_begin(engine, &take->victims[*i], n) : -ENOBUFS;
	if (!*err)
		return n;
	if (*err != -EINVAL)
		return 0;
	*err = 0;
	if (n == 1)
		refused(take, take->victims[(*i)++], -EINVAL);
	take->longest = n > 1 ? n / 2 : 1;
	return 0;
}

/* As move_some() without UFFDIO_MOVE, one run. Not under the lock. */
static int remap_some(struct take *take, uint32_t *i, unsigned *left, unsigned *moved_pages)
{
	struct engine *engine = take->engine;
	uint32_t n;
	int err;

	engine_lock_last(engine);
	if (*i == 0)
		choose(take);
	n = begin_remap(take, i, &err);
	engine_unlock(engine);
	(*left)--;
	if (!n)
		return err;
	err = remap_finish(engine);
	*i += n; /* they are in the order again if they have stayed */
	if (!err) {
		*moved_pages += n;
		take->longest = n < REMAP_MAX_PAGES / 2 ? 2 * n : REMAP_MAX_PAGES;
		return 0;
	}
	stats_count(&engine->stats->refused, n);
	if (err != -EPERM) /* a shorter run would be locked, too */
		take->longest = n > 1 ? n / 2 : 1;
	return 0;
}

static int move_runs(struct take *take, uint32_t *i, unsigned *left, unsigned *moved_pages)
{
	int err;

	engine_lock_last(take->engine);
	if (*i == 0)
		choose(take);
	err = move_some(take, i, left, moved_pages);
	engine_unlock(take->engine);
	return err;
}

static void pass_over_left(struct engine *engine)
{
	engine_lock_last(engine);
	stage_pass_over_left(&engine->stage);
	engine_unlock(engine);
}

/* Takes out up to a batch of pages, in `runs` runs at most. Returns how many. */
static unsigned take_out(struct take *take, unsigned runs)
{
	struct engine *engine = take->engine;
	uint64_t end_ns = take->all_in_vain ? clock_ns() + VAIN_NS : 0;
	unsigned moved = 0;
	uint64_t first;
	uint32_t i = 0;
	int err = 0;

	if (UNLIKELY(engine->stage.left_count))
		pass_over_left(engine);
	first = engine->stage.head;
	while (!err && runs && (i == 0 || i < take->victim_count)) {
		err = engine->caps.move ? move_runs(take, &i, &runs, &moved)
					: remap_some(take, &i, &runs, &moved);
		if (!take->victim_count || (end_ns && clock_ns() > end_ns))
			break;
	}
	memmove(take->victims, take->victims + i,
		(take->victim_count - i) * sizeof(take->victims[0]));
	take->victim_count -= i;
	take->barren = !err && !moved;
	take->in_vain = moved ? 0 : take->in_vain + i;
	take->all_in_vain = take->in_vain > page_count(engine->table, PAGE_RESIDENT);
	stats_count(&engine->stats->taken, moved);
	if (moved)
		writer_look(engine->writer, first, engine->stage.head);
	return moved;
}

/* ---- the tail ---- */

static void now_out(struct engine *engine, uint32_t id)
{
	struct page *page = page_by_id(engine->table, id);

	page->where = 0;
	page_set(engine->table, page, page->slot == STORE_NO_SLOT ? PAGE_FILLED : PAGE_REMOTE);
}

/* Drops up to n pages from the tail on. Returns how many places became free. */
static unsigned drop(struct take *take, uint64_t n)
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

static bool may_take(struct take *take)
{
	struct engine *engine = take->engine;

	if (!engine->caps.move && remap_must_stay(engine)) {
		take->barren = true;
		take->all_in_vain = true;
		return false;
	}
	return stage_level(&engine->stage) < engine->budget.staged &&
	       engine->stage.mappings < REMAP_MAX_MAPPINGS && writer_has_room(engine->writer);
}

/* One step towards the mark `low`. Under the take lock. */
static unsigned step(struct take *take, unsigned runs)
{
	uint64_t over = pages_over(take->engine, take->engine->budget.low);
	unsigned did = 0;

	if (over) {
		did += drop(take, over);
		if (may_take(take))
			did += take_out(take, runs);
	}
	return did;
}

unsigned take_some(struct engine *engine)
{
	struct take *take = engine->take;
	unsigned did;

	if (!engine->caps.move || /* then it would wait for itself: remap.h */
	    atomic_load_explicit(&engine->recalls, memory_order_relaxed) ||
	    guard_is_open(&engine->guard) ||
	    atomic_load_explicit(&engine->phase, memory_order_relaxed) != ENGINE_ACTIVE ||
	    !lock_try(&take->lock))
		return 0;
	did = step(take, SOME_RUNS);
	lock_release(&take->lock);
	return did;
}

static unsigned turn(struct take *take)
{
	unsigned did = writer_turn(take->engine->writer);

	take->draining = (take->draining && pages_over(take->engine, take->engine->budget.low)) ||
			 engine_wants_take(take->engine);
	if (!take->draining)
		return did;
	lock_acquire(&take->lock);
	did += step(take, VICTIMS);
	unshare_all(take->engine, &take->unshare);
	lock_release(&take->lock);
	return did;
}

/* Waits for the donors, or a moment, or until it is wanted. */
static void rest(struct take *take)
{
	struct engine *engine = take->engine;
	uint32_t seen = atomic_load(&engine->take_word);
	struct pollfd fds[STORE_LANE_FDS];
	int n;

	if (writer_is_busy(engine->writer) && !writer_waits_for_slots(engine->writer)) {
		n = store_arm(engine->store, STORE_WRITES, fds, ARRAY_LEN(fds));
		if (n >= 0)
			(void)poll(fds, (nfds_t)n, 1);
		return;
	}
	if (writer_is_busy(engine->writer) || engine_wants_take(engine)) {
		futex_sleep(&engine->take_word, seen, take->all_in_vain ? LONG_NAP_NS : NAP_NS);
		return;
	}
	atomic_store(&engine->take_asleep, 1);
	if (!engine_wants_take(engine) && !atomic_load(&engine->recalls))
		futex_sleep(&engine->take_word, seen, 0);
	atomic_store(&engine->take_asleep, 0);
}

static void note_fullness(struct take *take)
{
	struct engine *engine = take->engine;
	bool waits = writer_waits_for_slots(engine->writer);
	bool full = waits && store_is_full(engine->store);

	if (waits && !take->waits)
		engine_wake_care(engine);
	take->waits = waits;
	/* All slots are taken, also those that resident pages had. */
	full = full && writer_reclaim(engine->writer) && !store_slots_free(engine->store);
	if (full)
		atomic_store(&engine->over_budget, 1);
	else if (!writer_waits_for_slots(engine->writer))
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

	thread_be_prompt();
	while (!atomic_load(&engine->opening_over)) {
		futex_sleep(&engine->take_word, seen, engine_watch(engine));
		seen = atomic_load(&engine->take_word);
	}
	thread_be_usual();
	engine_thread_ready(engine);
	while (atomic_load(&engine->phase) == ENGINE_OPENING) {
		futex_sleep(&engine->take_word, seen, NAP_NS);
		seen = atomic_load(&engine->take_word);
	}
}

static void *run(void *arg)
{
	struct take *take = arg;
	struct engine *engine = take->engine;
	unsigned did;

	engine_thread_ready(engine);
	adopt_meanwhile(engine);
	if (atomic_load(&engine->phase) == ENGINE_UNPAGED)
		return NULL;
	for (;;) {
		if (atomic_load(&engine->recalls)) {
			pause_for_recall(engine);
			if (!writer_turn(engine->writer))
				futex_sleep(&engine->take_word, atomic_load(&engine->take_word),
					    NAP_NS);
			continue;
		}
		if (guard_is_open(&engine->guard)) { /* after a fork: not until it is shut */
			engine_wake_fault(engine);
			futex_sleep(&engine->take_word, atomic_load(&engine->take_word), NAP_NS);
			continue;
		}
		did = turn(take);
		atomic_store_explicit(&engine->take_stuck,
				      !did && !writer_is_busy(engine->writer) && take->barren,
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
	struct take *take = own_alloc(sizeof(*take));

	if (!take)
		return -ENOMEM;
	take->engine = engine;
	take->longest = REMAP_MAX_PAGES;
	engine->take = take;
	return thread_start(run, take);
}
