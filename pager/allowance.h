/*
 * How much of the program may stay resident: the size that the user gave, a share of what the
 * control group may use, or, with `auto`, as much of that as is left for this process. Without a
 * group that limits, the host's RAM stands for it. The latter two are looked up again from time to
 * time: limits change, and others in the group come and go. Several processes that do so in one
 * group share it by need: what one takes, the others find less of.
 *
 * Reads files, for some 100 us; no malloc, 16 KiB of stack. Control thread, and before it starts.
 */
#ifndef PAGER_ALLOWANCE_H
#define PAGER_ALLOWANCE_H

#include "pager/config.h"

#include <stdint.h>

/* Bytes, at least CONFIG_MIN_LOCAL; `own` is what this process has resident now. */
uint64_t allowance(const struct config *config, uint64_t own);

/* Whether it may be another one later. */
static inline bool allowance_moves(const struct config *config)
{
	return config->local != CONFIG_LOCAL_SIZE;
}

/* For tests: of which the group, or the host, has `limit` in all and `left` for anybody. */
uint64_t allowance_of(const struct config *config, uint64_t own, uint64_t limit, uint64_t left);

#endif
