/*
 * What was moved into the staging area and is not ours. Between begin and move (remap.h) the
 * program may have unmapped the run in one thread and mapped something else there in another one;
 * mremap(2) moves what it finds. It has left its mapping behind (MREMAP_DONTUNMAP), so its pages
 * are put back there, one by one.
 *
 * That is done by UFFDIO_COPY, which refuses where a page is already: moved back by mremap(2) they
 * would lie over what the program has written meanwhile, where it had not been before. Whoever has
 * touched a page that was away has seen zeros instead of it. That cannot be mended and ends the
 * program.
 *
 * From Linux 6.17 on mremap(2) may move several mappings in one call, and those before one that is
 * registered with a userfaultfd have been moved already when it refuses that one (mm/mremap.c,
 * remap_move()): a failure says nothing about what is where.
 */
#ifndef PAGER_STRAYS_H
#define PAGER_STRAYS_H

#include "common/base/compiler.h"

#include <stdbool.h>

struct engine;

/*
 * Puts back what has come in the places of the run that is leaving (engine->remap), whose source
 * must not be adopted meanwhile, and not be in the books. Returns whether anything had come. What
 * is in the places now is nobody's. Take-out thread, not under the lock: it may wait for the map to
 * come to rest.
 */
bool strays_send_home(struct engine *engine);

#endif
