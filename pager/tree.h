/*
 * A process tree that shares one budget: what `pagerctl run` has started, with all that came of it.
 * They meet in a page of memory in a file (rundir.h), whose path is in LIBPAGER_TREE. Each process
 * has a seat, writes there what it has and how it fares, and reads what the others have written;
 * how they share is in share.h. Nobody waits for anybody: there is no lock, and a process that is
 * killed is noticed by the others.
 *
 * Who cannot get at the file (chroot(2), another user after an execve(2)), or finds no seat, has
 * the budget for itself. Memory of processes that do not carry libpager.so counts for nothing.
 */
#ifndef PAGER_TREE_H
#define PAGER_TREE_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define TREE_PATH_BYTES 108

struct tree_seat;

/* One process's part in it. Owner: whoever watches its size (engine.h). Zeroed at start. */
struct tree {
	struct tree_seat *seat; /* NULL: it shares with nobody */
	_Atomic bool has_left;
	char path[TREE_PATH_BYTES];
	uint64_t told_ns, used, faults; /* at the last turn */
	uint64_t missing;		/* pages a second */
};

/* What a process says of itself. In pages. */
struct tree_news {
	uint64_t used;
	uint64_t faults; /* pages that it had and had to fetch again, so far */
	bool at_limit;
};

/*
 * Makes the file, with a seat for the calling process, and fills in its path. Removes those of
 * trees that are gone. Uses stdio and malloc: for pagerctl. 0 or -errno.
 */
int tree_create(char path[TREE_PATH_BYTES]) MUST_CHECK;

/*
 * Takes a seat. In a forked child the file is there already. 0; -errno: there is none, and the
 * process shares with nobody.
 */
int tree_join(struct tree *tree, const char *path) MUST_CHECK;

/* Says the news; returns how many of the `total` pages this process may have from now on. */
uint64_t tree_turn(struct tree *tree, const struct tree_news *news, uint64_t total, uint64_t least,
		   uint64_t now_ns);

/* At the end of the process: frees the seat; the last one removes the file. Any thread. */
void tree_leave(struct tree *tree);

#endif
