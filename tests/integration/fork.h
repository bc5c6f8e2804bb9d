/*
 * What the files of prog_fork share: memory with a pattern, of which part is out, and what parents
 * and children do with it. Version 0 is what is there between the ways.
 */
#ifndef TESTS_INTEGRATION_FORK_H
#define TESTS_INTEGRATION_FORK_H

#include "common/base/compiler.h"
#include "tests/integration/give_up.h"
#include "tests/integration/pages.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

extern uint64_t *memory;
extern size_t page_count;

void check_page(size_t page, uint64_t version, const char *who);
/* Every step-th page. */
void write_all(size_t step, uint64_t version);
/* Every step-th page has `version`, the others 0. */
void check_all(size_t step, uint64_t version, const char *who);

/* A child changes a third of what it has inherited. */
void live_as_child(void);
/* A parent changes half meanwhile, and waits for its child. Afterwards all is as before. */
void live_as_parent(pid_t child);

/* Lives as what fork returned. */
int split(pid_t pid);
int wait_for_zero(pid_t pid, const char *what);

/* Ways: each returns 0, or a negative errno if it is refused. */
int fork_by_plain_fork(void);
int fork_by_clone(void);
int fork_by_clone_and_change(void);
int fork_by_clone_and_clone(void);
int fork_by_clone_and_fork(void);
int fork_with_threads(void);
int fork_many(void);
int fork_changing_children(void);

#endif
