/*
 * Registering what is to be adopted. mremap(2) refuses what lies in two mappings, and one that is
 * registered in part is two; worse, from Linux 6.17 on it has then moved the first part already
 * when it fails. So mappings are registered as a whole, though the program goes on changing them:
 * the kernel is asked once more right before, the hole behind a mapping is registered with it, the
 * other half of what lies across a border follows at once, and callers of mremap(3) wait until that
 * has been done (gate.h).
 *
 * Where forks are not reported they are closed as a whole, too (guard.h).
 */
#ifndef PAGER_CLAIM_H
#define PAGER_CLAIM_H

#include "pager/engine.h"
#include "pager/exclude.h"
#include "pager/maps.h"

/* Part of a mapping that is in no region yet. */
struct stretch {
	uint64_t start, end;
	uint64_t limit; /* end of the hole behind it; `end` if something else follows there */
};

struct claim {
	struct engine *engine;
	const struct exclude *exclude;
	char *maps; /* for maps_find() */
};

enum claimed {
	CLAIM_DONE,    /* [start, limit) is registered */
	CLAIM_MORE,    /* and something that adjoins it, which is to be entered, too */
	CLAIM_CHANGED, /* it is not there any more */
	CLAIM_REFUSED, /* by the kernel: gone, or the program has a userfaultfd there */
};

/* Whether a mapping is adopted, by its kind. Pure. */
bool claim_wants(const struct maps_entry *entry);

/* Registers a stretch as it is now and, if there is room behind it, the hole. By who adopts, no
 * lock held. */
enum claimed claim_stretch(const struct claim *claim, struct stretch *stretch) MUST_CHECK;

#endif
