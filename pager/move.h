/*
 * UFFDIO_MOVE between the program and the staging area, counted by what is where afterwards.
 *
 * Linux 6.18 moves pages in batches (mm/userfaultfd.c, move_pages()), and since then does not
 * always say what it has moved: once it had to try a page again (EAGAIN, which it keeps to itself:
 * a flag of the page's entry changed just then), it moves the next batch, takes the old error for
 * that of this batch, tries the same pages once more, finds them where they have just come, and
 * returns EEXIST, or only the pages before. Whoever believes that takes a page that has left for
 * one that was never there, and gives zeros for it (docs/uffd.md).
 */
#ifndef PAGER_MOVE_H
#define PAGER_MOVE_H

#include "common/base/compiler.h"

#include <stdint.h>

/*
 * As uffd_move() without holes, but *done also counts pages after those told that are missing at
 * `from` and there at `to`; whoever waits for them is woken. -EEXIST: something else is in the way.
 * `pagemap_fd` as for pagemap.h. Under map_lock; nothing but this may fill `to`, nor take from
 * `from`.
 */
int move_counted(int uffd, int pagemap_fd, uint64_t to, uint64_t from, uint64_t bytes,
		 uint64_t *done) MUST_CHECK;

#endif
