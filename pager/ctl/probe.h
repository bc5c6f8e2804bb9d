/*
 * Asks a donor who it is and how fast it answers: hello, one slab for a moment, a thousand reads of
 * one page. Blocks, for a few seconds at most; leaves nothing behind.
 */
#ifndef PAGER_CTL_PROBE_H
#define PAGER_CTL_PROBE_H

#include "common/base/hist.h"
#include "common/transport/transport.h"
#include "common/wire/wire.h"
#include "pager/config.h"

#define PROBE_READS 1000

/* How far it got. */
enum probe_step {
	PROBE_CONNECT, /* no connection */
	PROBE_HELLO,   /* no welcome */
	PROBE_LEASE,   /* welcome is set; no slab */
	PROBE_DATA,    /* kind is set; data does not flow */
	PROBE_DONE,    /* round_trip is set */
};

struct probe {
	enum probe_step step;
	int err;		   /* why no further: negative errno, 0 when PROBE_DONE */
	struct wire_error refusal; /* code 0, or what the donor answered instead */
	struct wire_welcome welcome;
	enum tp_kind kind;	/* what `auto` would use, or what was asked for */
	struct hist round_trip; /* ns, of 4 KiB reads */
};

void probe_donor(const struct config_donor *donor, enum config_transport transport,
		 struct probe *out);

#endif
