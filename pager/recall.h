/*
 * fork. The child's memory must be what the parent's was, and the child cannot be served by the
 * parent's engine for long. So before a fork everything comes home and nothing is taken out until
 * it is done; the child then begins with an engine of its own.
 *
 *   forking thread                fault thread              take-out thread
 *   recall_begin()  ── recalls ─▶ fetches all there is      stops
 *        waits      ◀─ home_word ─ nothing is out
 *   fork()          ── event ───▶ closes the child's descriptor
 *   recall_end()    ── recalls ─▶                           goes on
 *
 * A fork that does not pass through fork(3) (clone(2) by hand, _Fork) is seen by the fault thread
 * where the kernel reports forks to us: it fills the child's memory through the child's descriptor
 * before that is closed (heir.h). Where the kernel does not (no CAP_SYS_PTRACE), such a child has
 * nothing of what is adopted (guard.h).
 */
#ifndef PAGER_RECALL_H
#define PAGER_RECALL_H

#include "pager/fault.h"

/*
 * Brings everything home and holds it there until recall_end(). Called by a thread of the program;
 * waits for as long as that takes.
 */
void recall_begin(struct engine *engine);
void recall_end(struct engine *engine);

/*
 * The same without waiting, for other reasons than a fork: everything is home, and stays there,
 * from when recall_is_home() is true for the turn that recall_ask() returned until
 * recall_release().
 */
uint32_t recall_ask(struct engine *engine) MUST_CHECK;
bool recall_is_home(struct engine *engine, uint32_t turn) MUST_CHECK;
void recall_release(struct engine *engine);

/*
 * Why not everything can come home, as a part of a log line: this host has not the memory, or the
 * control group that this process is in may not have it. NULL if everything can. Called by a thread
 * of the program, with its descriptors.
 */
const char *recall_obstacle(struct engine *engine) MUST_CHECK;

/* Whether nothing is out, and nothing will be as long as this fork lasts. Fault thread. */
bool recall_all_is_home(struct engine *engine) MUST_CHECK;

/* Whether a page is out that must not be: zeros are where the child's kernel will find them, too.
 */
bool recall_must_come(const struct page *page);

#endif
