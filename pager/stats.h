/*
 * The statistics of a running engine, as a page of memory in a file that its user (and only that
 * user, by the kernel's own rules) can read: in RUNDIR (rundir.h), by the process id. The engine
 * writes, anybody who may open it reads at any moment; no call, no thread, no socket. Every counter
 * has one writing thread and only grows, unless it says "now".
 *
 * The file is made when the engine becomes active (memory nears the budget) and removed when the
 * process ends in order; what a killed process leaves is removed by the next reader.
 */
#ifndef PAGER_STATS_H
#define PAGER_STATS_H

#include "common/base/compiler.h"
#include "common/base/hist.h"

#include <stdbool.h>
#include <stdint.h>

#define STATS_MAGIC 0x7461747352474150ull
#define STATS_VERSION 2
#define STATS_MAX_DONORS 64

enum stats_donor_state { STATS_DONOR_AWAY, STATS_DONOR_UP, STATS_DONOR_LOST };

struct stats_donor {
	char name[64];	   /* as configured */
	char transport[8]; /* "shm", "tcp", "verbs", "" while away */
	_Atomic uint32_t state;
	_Atomic uint32_t slabs;	    /* leased now */
	_Atomic uint64_t bytes_in;  /* read from it */
	_Atomic uint64_t bytes_out; /* written to it */
};

struct stats_page {
	uint64_t magic; /* written last */
	uint32_t version;
	uint32_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat: tells a reused pid */
	char program[16];     /* comm */
	_Atomic uint64_t budget_bytes;

	/* now, in bytes */
	_Atomic uint64_t adopted_bytes;	 /* address space under the engine's care */
	_Atomic uint64_t resident_bytes; /* adopted and resident */
	_Atomic uint64_t staged_bytes;	 /* taken out, still here */
	_Atomic uint64_t remote_bytes;	 /* on donors only */
	_Atomic uint64_t filled_bytes;	 /* one repeated word: nowhere */
	_Atomic uint64_t other_bytes;	 /* anonymous memory of the program that is not adopted */
	_Atomic uint64_t metadata_bytes; /* the engine's own books */

	/* faults, by how they were served */
	_Atomic uint64_t major;	   /* read from a donor */
	_Atomic uint64_t minor;	   /* still here: staged or fetched ahead */
	_Atomic uint64_t fresh;	   /* never touched before, or dropped by the program: zeros */
	_Atomic uint64_t refilled; /* one repeated word */
	_Atomic uint64_t stale;	   /* somebody else had served it */

	/* pages */
	_Atomic uint64_t ahead;	       /* fetched before they were asked for */
	_Atomic uint64_t ahead_used;   /* of those, asked for before they were placed */
	_Atomic uint64_t taken;	       /* taken out of the program */
	_Atomic uint64_t taken_clean;  /* of those, unchanged since they came: not written */
	_Atomic uint64_t taken_filled; /* of those, one repeated word: not written */
	_Atomic uint64_t written;      /* of those, written to donors */
	_Atomic uint64_t refused;      /* kernel would not give: pinned, locked, shared */
	_Atomic uint64_t corrupt;      /* hash did not match */
	_Atomic uint64_t forks;	       /* of the program, while pages were out */

	_Atomic uint32_t over_budget; /* now: 1 while donors are full and the program keeps all */

	/*
	 * The longest time, in ns, by which a look at the size of the program came later than
	 * planned: the engine was kept from the CPU, and the program could grow meanwhile.
	 */
	_Atomic uint64_t late_ns;

	/* from reading a fault to having placed the page, in ns */
	struct hist major_ns, minor_ns, fresh_ns;

	_Atomic uint32_t donor_count;
	struct stats_donor donors[STATS_MAX_DONORS];
};

/*
 * Writer: makes and maps the file; *out stays until the process ends, and does not exist in
 * forked children. If there can be no file, a page that nobody else can see, and a log line why;
 * fails only without memory. Removes what dead processes of this user left there. No malloc, no
 * stdio.
 */
int stats_create(struct stats_page **out) MUST_CHECK;
/*
 * Removes the file if it is this process's own. The page stays: at the end of a process there are
 * threads that still count. NULL is allowed.
 */
void stats_remove(const struct stats_page *page);

/* Adds to a counter that has one writer, the caller's thread: no locked instruction. */
static inline void stats_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Whether some donor can be reached at this moment. */
bool stats_any_donor_up(const struct stats_page *page) MUST_CHECK;

/*
 * Reader: a copy of this moment. -ESRCH no such process, -ENOENT no engine active in it, -EACCES
 * not yours, -EPROTO another version.
 */
int stats_read(uint32_t pid, struct stats_page *out) MUST_CHECK;

/* Whether a page that is mapped was written by the process that has this pid now. */
bool stats_is_by(const struct stats_page *page, uint32_t pid);

/* Calls fn for every live process of this user that has one; removes what dead ones left. */
int stats_each(void (*fn)(void *arg, uint32_t pid), void *arg) MUST_CHECK;

#endif
