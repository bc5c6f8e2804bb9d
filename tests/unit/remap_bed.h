/*
 * A bed for tests of pager/remap.h: an engine without UFFDIO_MOVE on a real userfaultfd. A thread
 * serves faults and enters changes as the fault thread does. Each test has one run of memory that
 * is taken out; what the program can do between the steps is done between the steps.
 */
#ifndef TESTS_UNIT_REMAP_BED_H
#define TESTS_UNIT_REMAP_BED_H

#include "pager/fault.h"
#include "pager/own.h"
#include "pager/pagemap.h"
#include "pager/remap.h"
#include "tests/suite.h"

#define PAGES 16u
#define BYTES (PAGES * PAGE_BYTES)

extern struct engine *engine;
extern uint32_t ids[PAGES]; /* of the run that was adopted last */

/* Runs the tests, or says why none can run here. For main(). */
int bed_run(const char *name, struct suite_test *tests);

/* ---- what the program does ---- */

uint64_t word_of(unsigned page);
uint64_t *word_at(const char *area, unsigned page);
void fill(char *area);
bool is_filled(const char *area);
char *map_anywhere(void);
/* Maps new pages in the place of `pages` pages of the area from `first` on. */
void map_another(char *area, unsigned first, unsigned pages);

/* ---- what the engine does ---- */

/* Registers it and enters its pages as resident, whether they are there or not. */
void adopt(char *area, bool found);
/* New, filled, adopted. */
char *adopted(void);
int begin(void);
enum page_state state_at(const char *area, unsigned page);
bool all_are(const char *area, enum page_state state);

/* Ends the test: nothing of it is left, and the staging area is as new. */
void leave(char *area);

#endif
