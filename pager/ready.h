/*
 * Making ready: from a program that is only watched to one whose memory is paged. Control thread,
 * once.
 */
#ifndef PAGER_READY_H
#define PAGER_READY_H

#include "pager/engine.h"

/* Leaves the engine ENGINE_ACTIVE, or ENGINE_UNPAGED with one line said. Takes up to seconds. */
void engine_make_ready(struct engine *engine);

#endif
