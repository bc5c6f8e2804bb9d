#include "pager/fault.h"

#include "common/base/clock.h"
#include "pager/maps.h"
#include "pager/own.h"
#include "pager/take.h"
#include "pager/thread.h"
#include "pager/write.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

/*
 * After work the thread looks again for so long before it sleeps: a sleeping thread costs the next
 * fault 5 us more than one that looks (docs/performance.md). Longer does not pay: a program that
 * faults less often than this does not mind. While a page is on its way it looks for longer, since
 * the wire's own sleep costs more: for twice the time that a page takes at best, unless that is so
 * long that it would only burn the CPU. Looking gives way to whoever else wants that.
 */
#define SPIN_NS 30000u
#define SPIN_FETCH_NS 200000u
#define SPIN_FETCH_MOST_NS 2000000u
/* A fault that must wait for room, or for the map to settle, is tried again this often. */
#define RETRY_MS 1
/* The care thread turns every 50 ms at least; a donor that is slow may hold it up. Guesses. */
#define STUCK_NS UINT64_C(30000000000)
#define STUCK_SEEN_NS UINT64_C(2000000000)
/* No fault waits longer than this for room: rather over the budget than stopped. */
#define ROOM_NS 200000000u

static bool something_to_read(const struct engine *engine)
{
	struct pollfd fd = {.fd = engine->uffd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

/* A read that finds nothing must not make another thread wait for the lock. */
static bool lock_to_read(struct engine *engine)
{
	if (lock_try(&engine->map_lock))
		return true;
	if (!something_to_read(engine))
		return false;
	engine_lock(engine);
	return true;
}

unsigned fault_read(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;
	struct uffd_event events[UFFD_READ_MAX];
	uint32_t room = TODO_MAX - (fault->todo_head - fault->todo_tail);
	uint64_t now;
	int n;

	if (fault->todo_head ==
	    fault->todo_tail) /* no more of the ring than needed is ever touched */
		fault->todo_head = fault->todo_tail = 0;
	if (room < UFFD_READ_MAX) /* serve first; what is not read waits in the kernel */
		return 0;
	if (!lock_to_read(engine))
		return 0;
	n = uffd_read(engine->uffd, events, UFFD_READ_MAX);
	now = n > 0 ? clock_ns() : 0;
	for (int i = 0; i < n; i++) {
		if (events[i].kind != UFFD_FAULT) {
			event_enter(fault, &events[i]);
			continue;
		}
		fault->todo[fault->todo_head++ % TODO_MAX] = (struct todo){
			.address = events[i].fault.address,
			.since_ns = now,
			.tid = events[i].fault.tid,
			.write = events[i].fault.write,
			.protected = events[i].fault.protected,
		};
	}
	engine_unlock(engine);
	return n > 0 ? (unsigned)n : 0;
}

/* Room for one more page, or a reason not to insist on it. */
static bool has_room(const struct engine *engine, const struct todo *todo)
{
	if (engine_used(engine) < engine->budget.hard)
		return true;
	if (atomic_load_explicit(&engine->over_budget, memory_order_relaxed) ||
	    atomic_load_explicit(&engine->take_stuck, memory_order_relaxed) ||
	    atomic_load_explicit(&engine->recalls, memory_order_relaxed))
		return true;
	/* Who connects the donors faults, too; nobody takes anything out before that is done. */
	return thread_is_on_errand(todo->tid) || clock_ns() - todo->since_ns > ROOM_NS;
}

/*
 * Once the program is to end nothing is served any more, so that no wrong byte gets out; but for
 * the thread that says why: what the C library keeps for it may be in the program's memory.
 */
static bool may_serve(const struct engine *engine, const struct todo *todo)
{
	return !atomic_load_explicit(&engine->end_wanted, memory_order_relaxed) ||
	       todo->tid == atomic_load_explicit(&engine->last_tid, memory_order_relaxed);
}

/* One pass over what waits; what must wait on stays in order. */
static unsigned serve_all(struct fault_thread *fault)
{
	uint32_t end = fault->todo_head;
	unsigned did = 0;

	while (fault->todo_tail != end) {
		struct todo todo = fault->todo[fault->todo_tail % TODO_MAX];

		fault->todo_tail++;
		if (may_serve(fault->engine, &todo) && has_room(fault->engine, &todo) &&
		    place_fault(fault, &todo) == SERVED)
			did++;
		else
			fault->todo[fault->todo_head++ % TODO_MAX] = todo;
	}
	return did;
}

/*
 * A page that comes from a donor whose connection is to be replaced waits for the care thread. That
 * must not wait for such a page itself; if it ever does nothing would come of it. While we
 * ourselves were kept from the CPU it was, too, so this counts from when we see it.
 */
static void end_if_stuck(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;
	uint64_t now = clock_ns();

	if (!fault->busy_fetches ||
	    now - atomic_load_explicit(&engine->cared_ns, memory_order_relaxed) < STUCK_NS)
		fault->stuck_since_ns = 0;
	else if (!fault->stuck_since_ns)
		fault->stuck_since_ns = now;
	else if (now - fault->stuck_since_ns > STUCK_SEEN_NS)
		engine_die(engine, "a page cannot be served and nobody sees to it, ending this "
				   "program");
}

/* Sleeps until the kernel, a donor or another thread of the engine has something. */
static void rest(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;
	struct pollfd fds[2 + STORE_LANE_FDS] = {
		{.fd = engine->uffd, .events = POLLIN},
		{.fd = engine->wake_fd, .events = POLLIN},
	};
	bool retry = fault->todo_head != fault->todo_tail || fault->busy_fetches ||
		     fault->late_count || atomic_load(&engine->recalls);
	uint64_t ignored;
	int n = 0;

	end_if_stuck(fault);
	if (fault->busy_fetches)
		n = store_arm(engine->store, STORE_READS, fds + 2, STORE_LANE_FDS);
	if (n < 0)
		return;
	atomic_store_explicit(&engine->fault_asleep, 1, memory_order_relaxed);
	n = poll(fds, 2 + (nfds_t)n, retry ? RETRY_MS : -1);
	atomic_store_explicit(&engine->fault_asleep, 0, memory_order_relaxed);
	if (n > 0 && (fds[1].revents & POLLIN)) {
		awake_note(&engine->awake, clock_ns());
		(void)!read(engine->wake_fd, &ignored, sizeof(ignored));
	}
}

/*
 * The care thread was asked to end the process and does not get to it: a donor may hold it up.
 */
static void end_if_late(struct engine *engine)
{
	if (atomic_load_explicit(&engine->end_wanted, memory_order_relaxed) &&
	    clock_ns() - atomic_load(&engine->end_since_ns) > 1000000000u)
		engine_end_if_wanted(engine);
}

/* Now, while the program waits for its page or has just got it. */
static void make_room(struct engine *engine)
{
	if (engine_used(engine) <= engine->budget.high)
		return;
	if (!atomic_load_explicit(&engine->take_stuck, memory_order_relaxed) && take_some(engine))
		atomic_store_explicit(&engine->room_ns, clock_ns(), memory_order_relaxed);
	if (writer_is_busy(engine->writer) || engine_wants_take(engine))
		engine_wake_take(engine);
}

static unsigned turn(struct fault_thread *fault)
{
	unsigned did = fault_read(fault);

	end_if_late(fault->engine);
	(void)!event_is_settled(
		fault); /* what could not be entered, perhaps with nobody faulting */
	if (fault->todo_head != fault->todo_tail)
		did += serve_all(fault);
	did += fetch_post(fault);
	if (did)
		make_room(fault->engine);
	did += fetch_turn(fault);
	if (atomic_load_explicit(&fault->engine->recalls, memory_order_relaxed))
		recall_step(fault);
	else
		guard_shut(fault->engine);
	return did;
}

static uint64_t patience(const struct fault_thread *fault)
{
	uint64_t enough = 2 * fault->least_ns;

	if (!fault->busy_fetches)
		return SPIN_NS;
	return enough > SPIN_FETCH_NS && enough < SPIN_FETCH_MOST_NS ? enough : SPIN_FETCH_NS;
}

static void *run(void *arg)
{
	struct fault_thread *fault = arg;
	uint64_t last = clock_ns();

	thread_be_prompt();
	engine_thread_ready(fault->engine);
	for (;;) {
		if (turn(fault)) {
			last = clock_ns();
			continue;
		}
		if (clock_ns() - last < patience(fault))
			sched_yield();
		else
			rest(fault);
	}
	return NULL;
}

#define LANDING_BYTES ((size_t)FETCHES * FETCH_PAGES * PAGE_BYTES)

int fault_start(struct engine *engine)
{
	struct fault_thread *fault = own_alloc(sizeof(*fault));

	if (!fault)
		return -ENOMEM;
	fault->engine = engine;
	fault->landing = own_reserve(LANDING_BYTES);
	fault->zeros = own_alloc(FETCH_PAGES * PAGE_BYTES);
	fault->fill = own_alloc(PAGE_BYTES);
	fault->heir_maps = own_alloc(MAPS_BUFFER_BYTES);
	fault->extra = own_reserve(EXTRA_PAGES * PAGE_BYTES);
	if (!fault->landing || !fault->zeros || !fault->fill || !fault->extra || !fault->heir_maps)
		return -ENOMEM;
	engine->fault = fault;
	return thread_start(run, fault);
}

int fault_register(struct engine *engine)
{
	struct fault_thread *fault = engine->fault;
	int err = store_register(engine->store, fault->landing, LANDING_BYTES);

	return err ? err : store_register(engine->store, fault->extra, EXTRA_PAGES * PAGE_BYTES);
}
