/*
 * Asks a donor what an engine would ask, by the engine's own code: the greeting, the choice of the
 * transport; then one slab for a moment, and a thousand reads of one page. Blocks, for a few
 * seconds at most; leaves nothing behind.
 */
#ifndef PAGER_CTL_PROBE_H
#define PAGER_CTL_PROBE_H

#include "common/base/hist.h"
#include "pager/attempt.h"

#define PROBE_READS 1000

enum probe_result {
	PROBE_WORKS,
	PROBE_AWAY,	 /* cannot be reached, or is no donor that we understand */
	PROBE_NO_ANSWER, /* not even a refusal, in time */
	PROBE_FULL,	 /* welcome is set; no slab to be had */
	PROBE_BROKEN,	 /* welcome is set; then it fails */
};

struct probe {
	enum probe_result result;
	int err;		     /* negative errno when it does not work */
	char why[ATTEMPT_WHY_BYTES]; /* one clause, then */
	struct wire_welcome welcome;
	enum tp_kind kind;	/* what the engine would use */
	struct hist round_trip; /* ns, of 4 KiB reads */
};

void probe_donor(const struct config_donor *donor, enum config_transport transport,
		 struct probe *out);

#endif
