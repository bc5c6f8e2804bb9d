/*
 * userfaultfd(2) and its ioctls, turned into our habits: 0 or a negative errno, counts through
 * `out` arguments, no struct of the kernel's. The only file that knows <linux/userfaultfd.h>.
 *
 * Errors that callers tell apart (Documentation/admin-guide/mm/userfaultfd.rst,
 * ioctl_userfaultfd(2)): -EAGAIN  the map is changing: an event waits to be read (or a short
 * collision in the kernel) -EEXIST  there is a page already -ENOENT  move: the source has no page
 * here; copy: no such mapping any more -EBUSY   move: the page is pinned, or shared with another
 * process since fork -EINVAL  move: the mappings differ (locked, protected)
 */
#ifndef PAGER_UFFD_H
#define PAGER_UFFD_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uffd_way { UFFD_NONE, UFFD_SYSCALL, UFFD_DEVICE, UFFD_USER_ONLY };

struct uffd_caps {
	enum uffd_way
		way;  /* how this user may have one; UFFD_USER_ONLY cannot serve system calls */
	int err;      /* why not, when way is UFFD_NONE: negative errno */
	bool move;    /* UFFDIO_MOVE, Linux 6.8 */
	bool protect; /* UFFDIO_WRITEPROTECT, Linux 5.7 */
	bool thread_id;
	bool events;	  /* remap, remove, unmap */
	bool fork_events; /* needs CAP_SYS_PTRACE */
	bool poison;
	bool sigbus;
	bool wp_async;
	uint64_t features; /* as the kernel says it */
};

/* Asks the kernel on throw-away descriptors. */
void uffd_probe(struct uffd_caps *out);

/* The clause for a message: what keeps userfaultfd from working here, and the fix. */
const char *uffd_why_not(const struct uffd_caps *caps);

/*
 * Opens one that serves kernel-mode faults too. with_events: the program's descriptor, which hears
 * of fork (where permitted), mremap, madvise and munmap; without: for memory of our own.
 */
int uffd_open(const struct uffd_caps *caps, bool with_events, int *out) MUST_CHECK;

/* Pages that are missing are reported; protect: writes to protected ones too. */
int uffd_register(int fd, uint64_t start, uint64_t bytes, bool protect) MUST_CHECK;
int uffd_unregister(int fd, uint64_t start, uint64_t bytes) MUST_CHECK;

/*
 * The kernel works within one mapping, and mappings that touch are not always one; uffd_copy() and
 * uffd_move() therefore try with less when the whole range will not do, down to a page.
 *
 * Place pages and wake who waits for them. On any return *done says how many bytes, from the start,
 * were placed.
 */
int uffd_copy(int fd, uint64_t to, const void *from, uint64_t bytes, uint64_t *done) MUST_CHECK;
int uffd_zero(int fd, uint64_t to, uint64_t bytes, uint64_t *done) MUST_CHECK;

/* Pages that are missing: whoever touches them gets SIGBUS from now on. Linux 6.6. */
int uffd_poison(int fd, uint64_t start, uint64_t bytes) MUST_CHECK;

/* Moves pages; `to` lies in memory registered with fd. skip_holes: pages that are not there count
 * as moved. */
int uffd_move(int fd, uint64_t to, uint64_t from, uint64_t bytes, bool skip_holes,
	      uint64_t *done) MUST_CHECK;

/*
 * Protects the pages that are there, within one mapping registered with `protect`, from writing:
 * who writes waits until they are let go of again, or placed anew. Letting go wakes who waits.
 */
int uffd_protect(int fd, uint64_t start, uint64_t bytes, bool on) MUST_CHECK;

/*
 * Whether a change of the map waits to be read. `own` is an address of the engine's own.
 */
bool uffd_is_changing(int fd, uint64_t own) MUST_CHECK;

void uffd_wake(int fd, uint64_t start, uint64_t bytes);

enum uffd_kind { UFFD_FAULT, UFFD_FORK, UFFD_REMAP, UFFD_REMOVE, UFFD_UNMAP, UFFD_OTHER };

struct uffd_event {
	enum uffd_kind kind;
	union {
		struct {
			uint64_t address; /* start of the page */
			uint32_t tid;
			bool write;
			bool protected; /* the page is there: see uffd_protect() */
		} fault;
		int child; /* fork: the child's descriptor, owned by the reader */
		struct {
			uint64_t from, to, bytes;
		} remap;
		struct {
			uint64_t start, end;
		} range; /* remove, unmap */
	};
};

#define UFFD_READ_MAX 16

/* Reads what there is, at most `max` (up to UFFD_READ_MAX); 0 if nothing. Never waits. */
int uffd_read(int fd, struct uffd_event *out, unsigned max) MUST_CHECK;

#endif
