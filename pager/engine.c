/*
 * Life of the engine. The happy path: engine_start() begins to watch; when the program's memory
 * nears the budget the control thread makes ready (userfaultfd, staging area, donors, threads);
 * from then on it looks after adoption and statistics. What can fail, and then leaves the
 * program unpaged with one line said: no userfaultfd here, no memory for the books. No donor within
 * reach is tried again for ever.
 */
#include "pager/engine.h"

#include "common/base/clock.h"
#include "pager/adopt.h"
#include "pager/allowance.h"
#include "pager/ending.h"
#include "pager/follow.h"
#include "pager/maps.h"
#include "pager/own.h"
#include "pager/pins.h"
#include "pager/ready.h"
#include "pager/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A program that does not grow is looked at so often: costs less than 0.1 % of a CPU. */
#define IDLE_NS 10000000u
#define BUSY_NS 1000000u
#define CALM_TURNS 50u /* turns without growth before the pause becomes the idle one */

static void count_usage(struct engine *engine, uint64_t *size_pages)
{
	uint64_t anon, tracked;

	if (maps_usage(engine->usage_fd, size_pages, &anon))
		return;
	tracked = engine->table
			  ? page_count(engine->table, PAGE_RESIDENT) + stage_level(&engine->stage)
			  : 0;
	atomic_store(&engine->other_pages, anon > tracked ? anon - tracked : 0);
}

uint64_t engine_used(const struct engine *engine)
{
	uint64_t used = atomic_load_explicit(&engine->other_pages, memory_order_relaxed);

	if (engine->table)
		used += page_count(engine->table, PAGE_RESIDENT) + stage_level(&engine->stage);
	return used;
}

#define ROOM_LASTS_NS 2000000u /* a guess: some tens of faults */

bool engine_wants_take(const struct engine *engine)
{
	uint64_t used = engine_used(engine);

	if (used <= engine->budget.high)
		return false;
	if (used > engine->budget.pages)
		return true;
	return clock_ns() - atomic_load_explicit(&engine->room_ns, memory_order_relaxed) >
	       ROOM_LASTS_NS;
}

void engine_wake_take(struct engine *engine)
{
	if (!atomic_load(&engine->take_asleep))
		return;
	futex_ring(&engine->take_word);
}

void engine_wake_fault(struct engine *engine)
{
	uint64_t one = 1;

	(void)!write(engine->wake_fd, &one, sizeof(one));
}

void engine_wake_control(struct engine *engine)
{
	futex_ring(&engine->control_word);
}

void engine_wake_care(struct engine *engine)
{
	futex_ring(&engine->care_word);
}

void engine_look_soon(struct engine *engine)
{
	atomic_store(&engine->look_wanted, true);
	engine_wake_control(engine);
}

#define LETS_GO_FIRST 20u /* turns; then it has waited long enough */

void engine_lock_last(struct engine *engine)
{
	for (unsigned i = 0; i < LETS_GO_FIRST && atomic_load(&engine->lock_wanted); i++)
		sched_yield();
	lock_acquire(&engine->map_lock);
}

void engine_queue(struct engine *engine, struct page *page)
{
	if (!page->queued && fifo_push(engine->order, page_id(engine->table, page)))
		page_set_queued(engine->table, page, true);
}

void engine_drop(struct engine *engine, struct page *page)
{
	struct stage *stage = &engine->stage;

	if (page->state == PAGE_STAGED) {
		if (stage->phases[page->where] == STAGE_BUSY)
			stage->ids[page->where] = PAGE_NO_ID;
		else
			stage->phases[page->where] = STAGE_DEAD;
	}
	if (page->slot != STORE_NO_SLOT && !page->writing)
		store_slot_give(engine->store, page->slot);
	page->slot = STORE_NO_SLOT;
	page->writing = 0;
	page->ahead = 0;
	page->where = 0;
	page_set(engine->table, page, PAGE_NONE);
}

static void drop_page(void *arg, struct page *page, uint64_t address UNUSED)
{
	engine_drop(arg, page);
}

void engine_drop_range(struct engine *engine, uint64_t start, uint64_t end)
{
	page_each(engine->table, start, end, drop_page, engine);
}

void engine_now_resident(struct engine *engine, struct page *page)
{
	page->where = 0;
	page->found = 0;
	page_set(engine->table, page, PAGE_RESIDENT);
	engine_queue(engine, page);
}

void engine_now_staged(struct engine *engine, uint32_t id)
{
	struct page *page = page_by_id(engine->table, id);
	uint32_t place = stage_place(&engine->stage, engine->stage.head++);

	page->where = place & PAGE_WHERE_MASK;
	page->ahead = 0;
	page_set(engine->table, page, PAGE_STAGED);
	page_set_queued(engine->table, page, false);
	engine->stage.ids[place] = id;
	engine->stage.came_from[place] = page_address(engine->table, id);
	engine->stage.phases[place] = STAGE_BUSY;
}

void engine_each_page(struct engine *engine, page_fn *fn, void *arg)
{
	const struct regions *regions = &engine->regions;

	for (unsigned i = 0; i < regions->count; i++)
		page_each(engine->table, regions->list[i].start, regions->list[i].end, fn, arg);
}

/* ---- the end ---- */

void engine_end(struct engine *engine, const char *why, uint64_t address)
{
	uint32_t no = 0;

	if (!atomic_compare_exchange_strong(&engine->end_wanted, &no, 1))
		return;
	atomic_store(&engine->end_address, address);
	atomic_store(&engine->end_why, why);
	atomic_store(&engine->end_since_ns, clock_ns());
	engine_wake_care(engine);
}

void engine_die(struct engine *engine, const char *line)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	struct rlimit none = {0, 0};
	sigset_t bus;

	log_error("%s", line);
	if (engine->stats)
		stats_remove(engine->stats);
	(void)setrlimit(RLIMIT_CORE, &none); /* a core would have holes where pages are out */
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	sigaction(SIGBUS, &action, NULL);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
	for (;;)
		(void)syscall(SYS_tgkill, getpid(), gettid(), SIGBUS);
}

void engine_end_if_wanted(struct engine *engine)
{
	char line[LOG_LINE_BYTES];
	const char *why = atomic_load(&engine->end_why);

	if (!why)
		return;
	snprintf(line, sizeof(line), "ending this program (pid %d): %s %#llx", (int)getpid(), why,
		 (unsigned long long)atomic_load(&engine->end_address));
	engine_die(engine, line);
}

struct losses {
	struct engine *engine;
	uint64_t pages;
};

static void count_lost(void *arg, struct page *page, uint64_t address UNUSED)
{
	struct losses *losses = arg;

	if (page->state != PAGE_REMOTE && page->state != PAGE_FETCHING)
		return;
	if (!store_slot_alive(losses->engine->store, page->slot))
		losses->pages++;
}

/* A donor is gone. Whatever it alone held is lost: then the program cannot go on. */
void engine_donor_lost(void *arg, const char *donor, const char *why)
{
	struct engine *engine = arg;
	struct losses losses = {engine, 0};
	char line[LOG_LINE_BYTES];

	if (!engine->table)
		return;
	engine_lock(engine);
	engine_each_page(engine, count_lost, &losses);
	engine_unlock(engine);
	if (!losses.pages) {
		log_warn("donor %s gone, no pages lost: %s", donor, why);
		return;
	}
	snprintf(line, sizeof(line),
		 "donor %s gone, %llu pages lost, ending this program (pid %d): %s", donor,
		 (unsigned long long)losses.pages, (int)getpid(), why);
	engine_die(engine, line);
}

/* ---- the control thread ---- */

static void put(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, value, memory_order_relaxed);
}

static void fill_stats(struct engine *engine)
{
	struct stats_page *stats = engine->stats;
	const struct page_table *table = engine->table;

	put(&stats->adopted_bytes, engine->regions.bytes);
	put(&stats->resident_bytes, page_count(table, PAGE_RESIDENT) << PAGE_SHIFT);
	put(&stats->staged_bytes, stage_level(&engine->stage) << PAGE_SHIFT);
	put(&stats->remote_bytes,
	    (page_count(table, PAGE_REMOTE) + page_count(table, PAGE_FETCHING)) << PAGE_SHIFT);
	put(&stats->filled_bytes, page_count(table, PAGE_FILLED) << PAGE_SHIFT);
	put(&stats->other_bytes, atomic_load(&engine->other_pages) << PAGE_SHIFT);
	put(&stats->metadata_bytes, page_table_bytes(table) + fifo_bytes(engine->order));
	put(&stats->late_ns, engine->late_ns);
	put(&stats->forks, atomic_load(&engine->forks));
	atomic_store(&stats->over_budget, atomic_load(&engine->over_budget));
}

static void say_once_if_full(struct engine *engine)
{
	if (!atomic_load(&engine->over_budget) || engine->said_full ||
	    !stats_any_donor_up(engine->stats))
		return;
	engine->said_full = true;
	log_warn("every donor is full: the program stays over its budget of %llu MiB",
		 (unsigned long long)(engine->budget.pages >> (20 - PAGE_SHIFT)));
}

static void say_once_if_pinned(struct engine *engine)
{
	if (!atomic_load(&engine->pinned) || engine->said_pinned)
		return;
	engine->said_pinned = true;
	log_warn("the program has pinned memory (io_uring, RDMA): without UFFDIO_MOVE, which needs "
		 "Linux 6.8, nothing is taken out while it has, and it may exceed its budget");
}

/* Grows, or might soon: look again in a moment. Calm: rarely. */
static uint64_t pause_of(struct engine *engine, uint64_t used, uint64_t size_pages)
{
	bool watching = atomic_load(&engine->phase) == ENGINE_WATCHING;
	uint64_t mark = watching ? engine->budget.near : engine->budget.adopt;

	if (engine->adopting)
		return 1;
	if (used < mark)
		return budget_pause(used, mark, IDLE_NS);
	engine->calm = size_pages == engine->last_size && used <= engine->last_used + 64
			       ? engine->calm + 1
			       : 0;
	engine->last_size = size_pages;
	engine->last_used = used;
	return engine->calm > CALM_TURNS ? IDLE_NS : BUSY_NS;
}

static void note_late(struct engine *engine, uint64_t now)
{
	if (engine->due_ns && now > engine->due_ns + engine->late_ns)
		engine->late_ns = now - engine->due_ns;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t watch(struct engine *engine, bool may_adopt)
{
	uint64_t size_pages = engine->last_size, begin = clock_ns(), used, pause, again;

	note_late(engine, begin);
	count_usage(engine, &size_pages);
	again = follow_turn(engine, begin);
	engine->adopting = may_adopt && engine_used(engine) >= engine->budget.adopt &&
			   adopt_turn(engine, size_pages);
	used = engine_used(engine);
	pause = sooner(pause_of(engine, used, size_pages), again);
	engine->due_ns = begin + ADOPT_TURN_NS + pause;
	return pause;
}

uint64_t engine_watch(struct engine *engine)
{
	return watch(engine, true);
}

static uint64_t faults_so_far(const struct stats_page *stats)
{
	return atomic_load_explicit(&stats->major, memory_order_relaxed) +
	       atomic_load_explicit(&stats->minor, memory_order_relaxed) +
	       atomic_load_explicit(&stats->refilled, memory_order_relaxed) +
	       atomic_load_explicit(&stats->fresh, memory_order_relaxed);
}

static void stay_awake(struct engine *engine)
{
	uint64_t now = clock_ns();

	if (atomic_load_explicit(&engine->fault_asleep, memory_order_relaxed) &&
	    awake_measure(&engine->awake, now))
		engine_wake_fault(engine);
	awake_turn(&engine->awake, faults_so_far(engine->stats), now);
}

static uint64_t active_turn(struct engine *engine)
{
	uint64_t pause;

	store_attend(engine->store);
	pause = watch(engine, stats_any_donor_up(engine->stats)); /* or it is left alone */
	if (engine_wants_take(engine))
		engine_wake_take(engine);
	say_once_if_full(engine);
	say_once_if_pinned(engine);
	stay_awake(engine);
	fill_stats(engine);
	pause = sooner(pause, locked_turn(engine, clock_ns()));
	return sooner(pause, exits_turn(&engine->exits, engine->status_fd, clock_ns()));
}

static uint64_t watching_turn(struct engine *engine)
{
	uint64_t pause = watch(engine, false);

	if (engine_used(engine) < engine->budget.near)
		return pause;
	engine_make_ready(engine);
	return 1;
}

/* ---- the thread ---- */

static void *control(void *arg)
{
	struct engine *engine = arg;
	uint64_t pause;
	uint32_t seen;

	prctl(PR_SET_NAME, "libpager");
	thread_be_prompt();
	engine->usage_fd = maps_open_usage();
	if (engine->usage_fd < 0) {
		log_warn("running without paging: cannot open /proc/self/statm: %s",
			 strerror(-engine->usage_fd));
		atomic_store(&engine->phase, ENGINE_UNPAGED);
	}
	follow_begin(engine);
	while (atomic_load(&engine->phase) != ENGINE_UNPAGED) {
		seen = atomic_load(&engine->control_word);
		if (ending_turn(engine))
			return NULL;
		if (atomic_load(&engine->phase) == ENGINE_ACTIVE)
			pause = active_turn(engine);
		else
			pause = watching_turn(engine);
		futex_sleep(&engine->control_word, seen, pause);
	}
	ending_without(engine);
	return NULL;
}

int engine_start(const struct config *config, struct engine **out)
{
	struct engine *engine = own_alloc(sizeof(*engine));
	int err;

	if (!engine)
		return -ENOMEM;
	engine->config = *config;
	engine->budget = budget_of(allowance(config, 0));
	if (allowance_moves(config))
		budget_make_limit(&engine->budget);
	engine->uffd = engine->trash_uffd = engine->wake_fd = engine->awake.fd = -1;
	err = thread_start(control, engine);
	if (err) {
		engine_free(engine);
		return err;
	}
	*out = engine;
	return 0;
}

void engine_free(struct engine *engine)
{
	own_free(engine, sizeof(*engine));
}

void engine_forget(struct engine *engine UNUSED)
{
	thread_forget();
	pins_reset();
	own_reset();
}
