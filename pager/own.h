/*
 * The engine's own memory: shared mappings, which the engine never adopts (it takes private
 * anonymous ones only), so that whatever is needed to serve a fault can never itself be out. Not
 * inherited by fork. Any thread may allocate; nothing here calls malloc. own_alloc() is for start,
 * adoption and the control thread, not for the fault path, which gets its memory beforehand.
 */
#ifndef PAGER_OWN_H
#define PAGER_OWN_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed memory, 64-byte aligned; page aligned from 4096 bytes on. NULL when there is none. */
void *own_alloc(size_t bytes) MUST_CHECK;
/* Same `bytes` as allocated. NULL is allowed. */
void own_free(void *ptr, size_t bytes);

/* Reserves address space that costs memory only where touched; page aligned. */
void *own_reserve(size_t bytes) MUST_CHECK;
void own_unreserve(void *ptr, size_t bytes);

/*
 * A table that may become very large: address space for all of it, of which only the beginning is
 * open. So mlockall(2), which fills whatever can be touched, does not fill all of it.
 */
struct own_table {
	void *base;
	size_t reserved, open; /* bytes */
};

int own_table_reserve(struct own_table *table, size_t bytes) MUST_CHECK;
void own_table_release(struct own_table *table);

/*
 * Opens the first `bytes` at least, which are zero where nobody has written yet. False if the
 * kernel has no memory for that. Fit for the fault path: rarely more than a comparison.
 */
bool own_table_open(struct own_table *table, size_t bytes) MUST_CHECK;

/*
 * Whether this process is the one that the engine was started in (or one that shares its memory:
 * vfork(2)), and not a child without the engine's memory that nobody has told us of. Once
 * own_mark() has made a page for it, which is all that own_mark_at() is about: it is private, and
 * the kernel empties it in children, but must not be adopted. Any thread, no system call.
 */
int own_mark(void) MUST_CHECK;
bool own_is_here(void);
uint64_t own_mark_at(void);

/* Bytes handed out and not freed: for the metadata figure. */
size_t own_bytes(void);

/* Matches tp_options.alloc and .free. */
void *own_tp_alloc(void *arg, size_t bytes);
void own_tp_free(void *arg, void *ptr, size_t bytes);

/* In a forked child: forget everything (the mappings were not inherited). */
void own_reset(void);

#endif
