/*
 * What the parts of donord share: one struct, made by main.c, used on the loop's thread only.
 *
 *   listen ──accepted──▶ door ──"control"──▶ session ──▶ lending ──▶ arena, leases
 *                         └────"data"──────▶ transport servers ◀──exports──┘
 */
#ifndef DONOR_DONOR_H
#define DONOR_DONOR_H

#include "common/transport/transport.h"
#include "common/wire/wire.h"
#include "donor/door.h"
#include "donor/lending.h"
#include "donor/listen.h"
#include "donor/quiet.h"
#include "donor/session.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct donor_options;
struct lease_table;
struct loop;

struct donor {
	const struct donor_options *options;
	struct loop *loop;
	struct arena *arena;
	struct lease_table *leases;
	struct tp_server *servers[TP_KINDS]; /* NULL where that kind is not served */
	uint8_t host_id[WIRE_HOST_ID_BYTES];
	struct listeners listeners;
	struct door door;
	struct donor_sessions sessions;
	struct lending lending;
	struct quiet strangers; /* lines about who has never had a lease */
	struct quiet clients;	/* lines about who has: a flood of the former hides none of them */
	bool is_stopping;
};

#endif
