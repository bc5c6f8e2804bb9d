/*
 * The engine of one process: what its threads share. docs/threads.md has the whole picture.
 *
 *   control    watches the size of the program, makes ready, adopts memory; may touch the program's
 *   care       talks to donors; may block and log
 *   fault      reads the userfaultfd, serves faults, takes note of changes of the map
 *   take-out   keeps the resident memory within the budget
 *
 * Who may touch what: `map_lock` guards the page table, the regions, the eviction order and the
 * staging area's book. It is held while the userfaultfd is read and what was read is entered, and
 * while pages are moved out: so whatever the program has done to its map is either not yet visible
 * to UFFDIO_MOVE (which then fails with EAGAIN) or already in the books. It is never held across
 * anything that waits.
 */
#ifndef PAGER_ENGINE_H
#define PAGER_ENGINE_H

#include "common/base/compiler.h"
#include "common/base/lock.h"
#include "pager/awake.h"
#include "pager/budget.h"
#include "pager/config.h"
#include "pager/exits.h"
#include "pager/fifo.h"
#include "pager/gate.h"
#include "pager/guard.h"
#include "pager/locked.h"
#include "pager/page_table.h"
#include "pager/regions.h"
#include "pager/remap.h"
#include "pager/removed.h"
#include "pager/stage.h"
#include "pager/stats.h"
#include "pager/store.h"
#include "pager/tree.h"
#include "pager/uffd.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum engine_phase {
	ENGINE_WATCHING, /* the program is small: nothing is open but one thread */
	ENGINE_OPENING,	 /* memory is adopted, while the donors are still being connected */
	ENGINE_ACTIVE,
	ENGINE_UNPAGED, /* it cannot be done here; said once */
};

struct fault_thread;
struct take;
struct writer;
struct adopter;

#define ENGINE_MAX_REGIONS 65536u

struct engine {
	struct config config;  /* constant after start */
	struct uffd_caps caps; /* constant once active, as the next five */
	struct budget budget;
	int uffd, trash_uffd;
	/* Of /proc/self; see maps.h, pagemap.h. */
	int usage_fd, maps_fd, smaps_fd, status_fd, pagemap_fd;
	bool guards; /* this kernel has MADV_GUARD_INSTALL: see pagemap.h */
	int wake_fd; /* eventfd: ends a sleep of the fault thread */
	struct store *store;
	struct stats_page *stats;

	struct gate moves; /* mremap(3) by the program: see claim.h */
	struct lock map_lock;
	_Atomic uint32_t lock_wanted; /* others than the take-out thread that wait for it */
	struct page_table *table;
	struct regions regions;
	struct fifo *order;
	struct stage stage;
	struct remap remap; /* what is leaving, without UFFDIO_MOVE */
	struct removed removed;
	uint32_t late_forks; /* that wait for something; under map_lock */
	bool unsettled;	     /* a change of the map is known in part: nothing may be taken out */

	struct fault_thread *fault; /* owner: fault thread */
	struct take *take;	    /* see take.h */
	struct writer *writer;	    /* see write.h */
	struct adopter *adopter;    /* owner: control thread; take-out thread while opening */

	_Atomic uint32_t phase; /* enum engine_phase; written by control */
	_Atomic uint64_t
		other_pages; /* resident anonymous memory not adopted; written by control */
	_Atomic uint32_t
		over_budget; /* donors are full: nobody waits for room; written by take-out */

	_Atomic uint32_t pinned;      /* memory is pinned and all must stay: remap.h; by take-out */
	_Atomic uint64_t room_ns;     /* when the fault thread last made room; written by it */
	_Atomic uint32_t take_stuck;  /* nothing more can be taken out now; written by take-out */
	_Atomic uint32_t take_asleep; /* 1 while the take-out thread sleeps on take_word */
	_Atomic uint32_t take_word;   /* futex: counts wake-ups */
	_Atomic uint32_t control_word; /* futex: counts wake-ups, as the next one */
	_Atomic uint32_t care_word;
	_Atomic bool look_wanted; /* at the map: it has changed, if not by much; by any thread */

	_Atomic uint32_t goodbye;    /* futex: the program's end and the control thread: ending.h */
	_Atomic uint32_t withdrawal; /* futex: likewise */

	_Atomic uint32_t threads_ready; /* futex: fault, take-out, care threads in their loops */
	_Atomic uint32_t opening_over;	/* futex: the take-out thread does not adopt any more */

	/* fork: see recall.h */
	_Atomic uint32_t recalls;     /* threads that want everything home */
	_Atomic uint32_t recall_turn; /* counts recalls */
	_Atomic uint32_t take_paused; /* the turn for which the take-out thread has stopped */
	_Atomic uint32_t home_word;   /* futex: the turn for which everything was home */
	_Atomic uint32_t forks;	      /* the program has forked so often: pages may be shared */

	/* An end that a thread which may not log asks for; see engine_end(). */
	_Atomic uint32_t last_tid; /* the thread that says why must be served to the last */
	_Atomic uint32_t end_wanted;
	_Atomic uint64_t end_since_ns;
	const char *_Atomic end_why; /* a literal */
	_Atomic uint64_t cared_ns;   /* when the care thread has looked after the donors last */
	_Atomic uint64_t end_address;

	struct guard guard;	       /* see guard.h */
	struct locked locked;	       /* see locked.h */
	struct exits exits;	       /* see exits.h */
	struct awake awake;	       /* owner: control thread */
	_Atomic uint32_t fault_asleep; /* 1 while the fault thread sleeps; written by it */

	/* owner: whoever owns the adopter */
	uint64_t last_used, last_size;
	uint32_t calm; /* turns without growth */
	bool said_full, said_pinned;
	uint64_t next_allowance_ns;
	uint64_t whole_pages; /* the budget, or what the tree shares */
	struct tree tree;
	uint64_t due_ns;  /* when the next look at the size of the program is planned */
	uint64_t late_ns; /* the longest time by which one came later */
	bool adopting;	  /* there is more to adopt or look at now */
};

/*
 * Starts watching this process: one thread, nothing else. Returns the engine in memory of its own,
 * or a negative errno. The configuration is copied.
 */
int engine_start(const struct config *config, struct engine **out) MUST_CHECK;

/* One that has withdrawn (ending.h), and whose thread has ended. */
void engine_free(struct engine *engine);

/* In the child of a fork: forgets the parent's engine, whose memory and threads are not here. */
void engine_forget(struct engine *engine);

/*
 * Looks at the size of the program and adopts what there is to adopt, if it is time. Returns for
 * how long nothing more is to be done, in ns. The control thread, and while that opens the store
 * the take-out thread.
 */
uint64_t engine_watch(struct engine *engine);

/* Resident pages by the engine's own count and the last look at the rest. Any thread. */
uint64_t engine_used(const struct engine *engine);

/*
 * Whether the take-out thread should be at work. While faults come, the fault thread makes room by
 * itself, and the take-out thread helps only where that is not enough. Any thread.
 */
bool engine_wants_take(const struct engine *engine);

/*
 * Said by the fault, take-out and care threads once they have begun to work. Before that they run
 * code of the C library that reads the program's memory (its locale); nothing may be out by then.
 */
void engine_thread_ready(struct engine *engine);

/* Nudges. Any thread; two instructions when nobody sleeps. */
void engine_wake_take(struct engine *engine);
void engine_wake_fault(struct engine *engine);
void engine_wake_control(struct engine *engine);
void engine_wake_care(struct engine *engine);

/* What is new, be it a page, is to be adopted at once, if the program is paged. Any thread. */
void engine_look_soon(struct engine *engine);

/*
 * For the fault and take-out threads: something cannot be served rightly, so the program must not
 * go on. The care thread says why and ends it; if that takes too long the caller does so itself.
 * `why` is a literal.
 */
void engine_end(struct engine *engine, const char *why, uint64_t address);

/* Care thread: writes the line and ends the process with SIGBUS, as the kernel does when swap is
 * lost. */
void engine_die(struct engine *engine, const char *line) NORETURN;
/* With the reason that engine_end() was given, if it was called. Any thread of the engine. */
void engine_end_if_wanted(struct engine *engine);

/* A donor is gone (struct store_events): counts what is lost with it, and ends the program if any
 * is. */
void engine_donor_lost(void *engine, const char *donor, const char *why);

/*
 * map_lock. The take-out thread wants it all the time and nobody waits for that thread, so it lets
 * the others go first (engine_lock_last) and does little at a time while lock_wanted.
 */
static inline void engine_lock(struct engine *engine)
{
	if (lock_try(&engine->map_lock))
		return;
	atomic_fetch_add(&engine->lock_wanted, 1);
	lock_acquire(&engine->map_lock);
	atomic_fetch_sub(&engine->lock_wanted, 1);
}

static inline void engine_unlock(struct engine *engine)
{
	lock_release(&engine->map_lock);
}

void engine_lock_last(struct engine *engine);

/* Gives a resident page its place in the eviction order. Under map_lock. */
void engine_queue(struct engine *engine, struct page *page);

/* The page's content is in the program: enters that, and queues it. Under map_lock. */
void engine_now_resident(struct engine *engine, struct page *page);

/* The page goes to the next free place of the staging area: BUSY there. Under map_lock. */
void engine_now_staged(struct engine *engine, uint32_t id);

/* Calls fn for the pages of all regions that it has met. Under map_lock. */
void engine_each_page(struct engine *engine, page_fn *fn, void *arg);

/* Forgets what the engine holds of a page that the program has dropped. Under map_lock. */
void engine_drop(struct engine *engine, struct page *page);
void engine_drop_range(struct engine *engine, uint64_t start, uint64_t end);

#endif
