/*
 * /proc/self/pagemap: which pages of this process are there (Documentation/admin-guide/mm/
 * pagemap.rst). No malloc, no stdio.
 */
#ifndef PAGER_PAGEMAP_H
#define PAGER_PAGEMAP_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A descriptor for what follows. To be kept open: a process that gives up its privileges may not be
 * allowed to open it again.
 */
int pagemap_open(void) MUST_CHECK;

/* Reads the entries of `pages` pages from `start` on. Returns how many could be read. */
unsigned pagemap_read(int fd, uint64_t start, unsigned pages, uint64_t *entries);

/* In memory, or swapped out by the kernel. */
bool pagemap_is_there(uint64_t entry);

/*
 * Guards (MADV_GUARD_INSTALL, madvise(2); Linux 6.13) are no pages, but UFFDIO_COPY puts pages in
 * their place. Whether this kernel has them; and how many of `pages` pages (64 at most) from
 * `start` on are neither there nor guarded.
 */
#define PAGEMAP_FREE_MAX 64u
bool pagemap_is_guarded(uint64_t entry); /* from Linux 6.15 on; before that it looks swapped out */
bool pagemap_page_is_guarded(int fd, uint64_t address);
bool pagemap_has_guards(void);
unsigned pagemap_free(int fd, uint64_t start, unsigned pages);

/* In memory, and protected by UFFDIO_WRITEPROTECT; before Linux 5.13 never. */
bool pagemap_is_protected(uint64_t entry);

/* Such a page belongs to a file or to shared memory. */
bool pagemap_is_of_file(uint64_t entry);

/* Whether one page is there. What cannot be read counts as there. */
bool pagemap_page_is_there(int fd, uint64_t address);

/*
 * The first page of [start, end) that is there; `end` if none is. Before Linux 6.7, which has no
 * quick way to tell, simply `start`.
 */
uint64_t pagemap_next(int fd, uint64_t start, uint64_t end);

#endif
