/*
 * The happy path: books, userfaultfd, threads; from then on the take-out thread adopts what the
 * program allocates, and faults wait for room, while this one connects the donors, which may take
 * seconds. What can fail, and then leaves the program unpaged with one line said: no userfaultfd
 * here, no memory for the books. Without a donor within reach what was adopted is let go again.
 */
#include "pager/ready.h"

#include "pager/adopt.h"
#include "pager/care.h"
#include "pager/fault.h"
#include "pager/maps.h"
#include "pager/own.h"
#include "pager/pagemap.h"
#include "pager/pins.h"
#include "pager/take.h"
#include "pager/write.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/eventfd.h>

#define CONNECT_MS 2000u
#define SERVING_THREADS 3u /* fault, take-out, care */

/* The care thread waits for its phase. */
static void enter_phase(struct engine *engine, enum engine_phase phase)
{
	atomic_store(&engine->phase, phase);
	engine_wake_care(engine);
}

static void wake(void *arg)
{
	engine_wake_care(arg);
	engine_wake_control(arg);
}

/* ---- making ready ---- */

static int open_store(struct engine *engine)
{
	struct store_events events = {.lost = engine_donor_lost, .wake = wake, .arg = engine};
	int err = store_open(&engine->config, &events, CONNECT_MS, &engine->store);

	/* Each donor's line has been said. None now: it goes on trying, the program goes on
	 * unpaged. */
	return err == -EHOSTUNREACH && engine->store ? 0 : err;
}

static int open_books(struct engine *engine)
{
	struct region *list = own_reserve(ENGINE_MAX_REGIONS * sizeof(*list));
	int err;

	if (!list)
		return -ENOMEM;
	regions_init(&engine->regions, list, ENGINE_MAX_REGIONS);
	err = page_table_open(&engine->table);
	if (!err)
		err = fifo_open(&engine->order);
	return err;
}

static int open_proc(struct engine *engine)
{
	engine->maps_fd = maps_open();
	if (engine->maps_fd < 0)
		return engine->maps_fd;
	engine->smaps_fd = maps_open_smaps(); /* wanted rarely: heir.h */
	engine->status_fd = maps_open_status();
	if (engine->status_fd < 0)
		return engine->status_fd;
	engine->guards = pagemap_has_guards();
	engine->pagemap_fd = pagemap_open();
	return engine->pagemap_fd < 0 ? engine->pagemap_fd : 0;
}

static int open_uffd(struct engine *engine)
{
	int err = uffd_open(&engine->caps, true, &engine->uffd);

	engine->trash_uffd = -1;
	if (!err && engine->caps.move)
		err = uffd_open(&engine->caps, false, &engine->trash_uffd);
	if (err)
		return err;
	engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->wake_fd < 0)
		return -errno;
	/* Twice what lingers: batches on their way out need places too. */
	return stage_open(&engine->stage, 2 * engine->budget.most_staged, engine->uffd,
			  engine->trash_uffd);
}

void engine_thread_ready(struct engine *engine)
{
	futex_ring(&engine->threads_ready);
}

static void wait_for_threads(struct engine *engine, uint32_t wanted)
{
	uint32_t ready;

	while ((ready = atomic_load(&engine->threads_ready)) < wanted)
		futex_sleep(&engine->threads_ready, ready, 0);
}

/* All that needs no donor. */
static int open_local(struct engine *engine)
{
	int err = stats_create(&engine->stats);

	if (!err)
		err = open_books(engine);
	if (!err)
		err = open_proc(engine);
	if (!err)
		err = open_uffd(engine);
	if (!err && !engine->caps.move)
		pins_open(engine->status_fd);
	if (!err)
		err = guard_start(engine);
	if (!err)
		err = exits_open(&engine->exits);
	if (!err)
		err = adopt_open(engine);
	if (!err)
		err = fault_start(engine);
	if (!err)
		err = writer_open(engine, &engine->writer);
	if (!err)
		err = take_start(engine);
	if (!err)
		err = care_start(engine);
	if (!err)
		wait_for_threads(engine, SERVING_THREADS);
	return err;
}

static int open_donors(struct engine *engine)
{
	int err = open_store(engine);

	if (!err)
		err = fault_register(engine);
	if (!err)
		err = writer_register(engine->writer);
	return err;
}

/* The take-out thread adopts until the phase is over; it takes nothing out before the next one. */
static void end_opening(struct engine *engine, enum engine_phase phase)
{
	if (phase == ENGINE_ACTIVE)
		store_stats(engine->store, engine->stats);
	atomic_store(&engine->opening_over, 1);
	futex_ring(&engine->take_word);
	wait_for_threads(engine, SERVING_THREADS + 1);
	if (phase != ENGINE_ACTIVE || !stats_any_donor_up(engine->stats))
		adopt_undo(engine);
	enter_phase(engine, phase);
}

/* What to do about it, as a part of a line. */
static const char *remedy(int err)
{
	struct rlimit limit;

	if (err == -ENOMEM && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		return " within the limit of its address space, of which libpager needs 9 GiB (not "
		       "of "
		       "memory): ulimit -v unlimited";
	return "";
}

static void stay_unpaged(struct engine *engine, int err)
{
	log_warn("running without paging: cannot make ready: %s%s", strerror(-err), remedy(err));
	enter_phase(engine, ENGINE_UNPAGED);
}

void engine_make_ready(struct engine *engine)
{
	const char *why;
	int err;

	uffd_probe(&engine->caps);
	engine->caps.move = engine->caps.move && engine->config.move;
	why = uffd_why_not(&engine->caps);
	if (why) {
		log_warn("running without paging: %s", why);
		atomic_store(&engine->phase, ENGINE_UNPAGED);
		return;
	}
	err = open_local(engine);
	if (err) {
		stay_unpaged(engine, err);
		return;
	}
	atomic_store(&engine->stats->budget_bytes, engine->budget.pages << PAGE_SHIFT);
	atomic_store(&engine->phase, ENGINE_OPENING);
	engine_wake_take(engine);
	err = open_donors(engine);
	if (!err && engine->config.keep_awake)
		awake_open(&engine->awake);
	end_opening(engine, err ? ENGINE_UNPAGED : ENGINE_ACTIVE);
	if (err)
		stay_unpaged(engine, err);
}
