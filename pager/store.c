#include "pager/store_internal.h"

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "pager/own.h"

#include <errno.h>
#include <stdio.h>

#define NS_PER_MS UINT64_C(1000000)

/* Bounds what a data connection or a slab that is mapped may hold up the care thread. */
#define TP_TIMEOUT_MS 5000

/* What a turn may take until it leaves the next GRANT for the next one. */
#define TICK_NS (20 * NS_PER_MS)

/* How often donors are looked after: while slabs are asked for, while slots are taken, and else. */
#define ASKING_NS (1 * NS_PER_MS)
#define BUSY_NS (10 * NS_PER_MS)
#define CALM_NS (50 * NS_PER_MS)
#define CALM_AFTER_NS (1000 * NS_PER_MS)

/* While store_open() waits it looks at the control connections so often. */
#define OPENING_NS (1 * NS_PER_MS)

/* Any thread. */
static void wake(void *arg)
{
	struct store *store = arg;

	futex_ring(&store->nudges);
	if (store->events.wake)
		store->events.wake(store->events.arg);
}

/* ---- open, close ---- */

static int open_transports(struct store *store)
{
	const struct tp_options options = {
		.alloc = own_tp_alloc,
		.free = own_tp_free,
		.depth = DATA_DEPTH,
		.connect_timeout_ms = TP_TIMEOUT_MS,
	};

	return transports_open(&store->transports, &options);
}

static int open_links(struct store *store, const struct config *config)
{
	unsigned i;
	int err;

	for (i = 0; i < config->donor_count; i++) {
		const struct link_options options = {
			.donor = &config->donors[i],
			.transport = config->transport,
			.transports = &store->transports,
			.connector = &store->connector,
			.wake = wake,
			.arg = store,
		};

		err = link_open(&options, &store->links[i]);
		if (err)
			return err;
		store->link_count++;
	}
	return 0;
}

static int open_lanes(struct store *store)
{
	unsigned lane;
	int err;

	for (lane = 0; lane < STORE_LANES; lane++) {
		err = lane_open(&store->lanes[lane]);
		if (err)
			return err;
	}
	return 0;
}

static int open_parts(struct store *store, const struct config *config)
{
	int err;

	err = slots_open(&store->slots);
	if (err)
		return err;
	store->places = own_reserve(STORE_MAX_SLABS * sizeof(*store->places));
	if (!store->places)
		return -ENOMEM;
	err = open_lanes(store);
	if (err)
		return err;
	err = open_transports(store);
	if (err)
		return err;
	return open_links(store, config);
}

/* False if an attempt that cannot be ended needs links and transports. */
static bool close_links(struct store *store)
{
	bool all = true;
	unsigned i;

	for (i = 0; i < store->link_count; i++)
		all = link_close(store->links[i]) && all;
	return all;
}

void store_close(struct store *store)
{
	unsigned i;

	/* what an attempt in the resolver needs stays: there is no way to end it */
	if (!store || !close_links(store))
		return;
	connector_stop(&store->connector);
	transports_close(&store->transports);
	for (i = 0; i < STORE_LANES; i++)
		lane_close(&store->lanes[i]);
	own_unreserve(store->places, STORE_MAX_SLABS * sizeof(*store->places));
	slots_close(store->slots);
	own_free(store, sizeof(*store));
}

/* ---- care ---- */

static void ring_lanes(struct store *store)
{
	unsigned lane;

	for (lane = 0; lane < STORE_LANES; lane++)
		lane_ring(&store->lanes[lane]);
}

static void settle(struct store *store, struct link *link, uint64_t now_ns)
{
	if (link_settle(link, now_ns))
		ring_lanes(store);
	/* a lane was just inside: it will not be for long, but may then wait for this */
	if (link->channel.fd >= 0)
		wake(store);
}

static void lose(struct store *store, unsigned donor, uint64_t now_ns)
{
	struct link *link = store->links[donor];
	const char *why = link_break(link);

	slots_kill(store->slots, donor);
	settle(store, link, now_ns);
	store->events.lost(store->events.arg, link->donor.text, why);
}

/* False if time is up and there may be more to hear. */
static bool hear_all(struct store *store, unsigned donor, uint64_t now_ns)
{
	struct link *link = store->links[donor];
	struct wire_grant grant;

	while (link_hear(link, &grant)) {
		store_lease_take(store, donor, &grant);
		if (clock_ns() - now_ns > TICK_NS) {
			wake(store);
			return false;
		}
	}
	return true;
}

static void tend_up(struct store *store, unsigned donor, uint64_t now_ns)
{
	struct link *link = store->links[donor];
	bool heard_all = hear_all(store, donor, now_ns);

	/* only a donor that was heard out can be found silent */
	if (heard_all && !verdict_of(&link->verdict))
		link_beat(link, now_ns, store_is_full(store));
	if (!verdict_of(&link->verdict) && link_switch_turn(link, now_ns)) {
		store_lease_move(store, donor, now_ns);
		ring_lanes(store);
	}
	if (verdict_of(&link->verdict))
		lose(store, donor, now_ns);
}

static void tend(struct store *store, unsigned donor, uint64_t now_ns)
{
	struct link *link = store->links[donor];

	switch (link->state) {
	case LINK_AWAY:
		if (now_ns >= link->next_try_ns)
			link_try(link, now_ns + LINK_ATTEMPT_NS);
		break;
	case LINK_TRYING:
		if (link_collect(link, now_ns))
			link_ask(link, link->room < PLACEMENT_KEEP ? (uint32_t)link->room
								   : PLACEMENT_KEEP);
		break;
	case LINK_UP:
		tend_up(store, donor, now_ns);
		break;
	case LINK_BROKEN:
		settle(store, link, now_ns);
		break;
	}
}

static void tend_all(struct store *store, uint64_t now_ns)
{
	unsigned i;

	for (i = 0; i < store->link_count; i++)
		tend(store, i, now_ns);
}

static bool is_any(const struct store *store, enum link_state state)
{
	unsigned i;

	for (i = 0; i < store->link_count; i++) {
		if (store->links[i]->state == state)
			return true;
	}
	return false;
}

static bool is_any_asked(const struct store *store)
{
	unsigned i;

	for (i = 0; i < store->link_count; i++) {
		if (store->links[i]->state == LINK_UP && store->links[i]->asked)
			return true;
	}
	return false;
}

static uint64_t pause_of(struct store *store, uint64_t now_ns)
{
	uint64_t taken = slots_taken(store->slots);

	if (taken != store->taken || is_any(store, LINK_BROKEN))
		store->changed_ns = now_ns;
	store->taken = taken;
	if (is_any_asked(store))
		return ASKING_NS;
	return now_ns - store->changed_ns < CALM_AFTER_NS ? BUSY_NS : CALM_NS;
}

uint64_t store_care(struct store *store)
{
	uint64_t now_ns = clock_ns();

	tend_all(store, now_ns);
	store_lease_tick(store, now_ns);
	return pause_of(store, now_ns);
}

void store_attend(struct store *store)
{
	unsigned i;

	for (i = 0; i < store->link_count; i++)
		link_attend(store->links[i]);
}

void store_tick(struct store *store)
{
	store_attend(store);
	(void)store_care(store);
}

/* ---- the wait at the start ---- */

/* Whether there is something to wait for: an answer, or the first slabs of one that answered. */
static bool is_settling(struct store *store)
{
	store_attend(store);
	tend_all(store, clock_ns());
	/* leases in earnest only when all have answered: the first one would lend everything */
	if (is_any(store, LINK_TRYING))
		return true;
	store_lease_tick(store, clock_ns());
	return is_any_asked(store);
}

static void say_late(const struct store *store, unsigned timeout_ms)
{
	unsigned i;

	for (i = 0; i < store->link_count; i++) {
		if (store->links[i]->state == LINK_TRYING)
			log_warn("donor %s cannot be used: no answer within %u ms",
				 store->links[i]->donor.text, timeout_ms);
	}
}

static void wait_for_donors(struct store *store, unsigned timeout_ms)
{
	uint64_t now_ns = clock_ns(), deadline = now_ns + timeout_ms * NS_PER_MS;
	uint32_t seen;
	unsigned i;

	/* a little before, so that each can still say what it failed of */
	for (i = 0; i < store->link_count; i++)
		link_try(store->links[i], deadline - (deadline - now_ns) / 10);
	do {
		seen = atomic_load(&store->nudges);
		if (!is_settling(store))
			return;
		futex_sleep(&store->nudges, seen, OPENING_NS);
	} while (clock_ns() < deadline);
	store_tick(store);
	say_late(store, timeout_ms);
}

int store_open(const struct config *config, const struct store_events *events, unsigned timeout_ms,
	       struct store **out)
{
	struct store *store = own_alloc(sizeof(*store));
	unsigned lane;
	int err;

	if (!store)
		return -ENOMEM;
	store->events = *events;
	for (lane = 0; lane < STORE_LANES; lane++)
		store->lanes[lane].bell = -1;
	err = open_parts(store, config);
	if (err) {
		store_close(store);
		return err;
	}
	wait_for_donors(store, timeout_ms);
	*out = store;
	return is_any(store, LINK_UP) ? 0 : -EHOSTUNREACH;
}

/* ---- the rest ---- */

int store_register(struct store *store, void *base, size_t bytes)
{
	return transports_register(&store->transports, base, bytes);
}

unsigned store_slots_take(struct store *store, unsigned n, uint32_t *slots)
{
	return slots_take(store->slots, n, slots);
}

void store_slot_give(struct store *store, uint32_t slot)
{
	slots_give(store->slots, slot);
}

bool store_slot_alive(const struct store *store, uint32_t slot)
{
	return slots_is_alive(store->slots, slot);
}

uint64_t store_slots_free(const struct store *store)
{
	return slots_free(store->slots);
}

bool store_is_full(const struct store *store)
{
	return atomic_load_explicit(&store->is_full, memory_order_relaxed) &&
	       !slots_free(store->slots);
}

const char *store_slot_donor(const struct store *store, uint32_t slot)
{
	return store->links[slots_donor(store->slots, slot)]->donor.text;
}

static uint32_t stats_state(const struct link *link)
{
	if (link->state == LINK_UP)
		return STATS_DONOR_UP;
	return link->was_lost ? STATS_DONOR_LOST : STATS_DONOR_AWAY;
}

void store_stats(const struct store *store, struct stats_page *out)
{
	unsigned i;

	for (i = 0; i < store->link_count && i < STATS_MAX_DONORS; i++) {
		const struct link *link = store->links[i];
		struct stats_donor *donor = &out->donors[i];
		bool is_up = link->state == LINK_UP;

		snprintf(donor->name, sizeof(donor->name), "%.*s", (int)sizeof(donor->name) - 1,
			 link->donor.text);
		snprintf(donor->transport, sizeof(donor->transport), "%s",
			 is_up ? tp_kind_name(link->kind) : "");
		donor->state = stats_state(link);
		donor->slabs = slots_slabs_of(store->slots, i);
		donor->bytes_in = link->data[STORE_READS].bytes;
		donor->bytes_out = link->data[STORE_WRITES].bytes;
	}
	out->donor_count = i;
}
