/* The two ways in which `pagerctl stat` shows what an engine counts. */
#ifndef PAGER_CTL_STAT_H
#define PAGER_CTL_STAT_H

#include "pager/stats.h"

#include <jansson.h>
#include <stdio.h>

/* Blocks of lines for one process. */
void stat_print(FILE *to, const struct stats_page *page);

/* One line for each of many, and the line above them. */
void stat_print_heading(FILE *to);
void stat_print_line(FILE *to, const struct stats_page *page);

/* Everything; pagerctl(1) documents the keys. The caller has the reference. NULL: no memory. */
json_t *stat_json(const struct stats_page *page) MUST_CHECK;

/* For a process that carries libpager.so and has no engine yet. */
json_t *stat_json_inactive(uint32_t pid, const char *program) MUST_CHECK;

const char *stat_donor_state(uint32_t state);

#endif
