/* LIBPAGER_REQUIRE, asked before the program starts. */
#ifndef LIBPAGER_REQUIRE_H
#define LIBPAGER_REQUIRE_H

#include "common/base/compiler.h"
#include "pager/config.h"

#include <stdbool.h>

/*
 * Whether a donor answers in the way that is wanted; what is wrong has been logged. Before there is
 * an engine. Blocks for 2 s at most.
 */
bool require_donor_answers(const struct config *config) MUST_CHECK;

#endif
