#include "pager/store_internal.h"

#include "common/base/log.h"
#include "pager/reason.h"

#include <errno.h>

/* Slabs go back when they have been too many for so long: programs breathe. A guess. */
#define SURPLUS_NS UINT64_C(3000000000)

/* Slabs given back in one tick: each is unmapped and, over shm, asks the donor twice. */
#define RETURNS_A_TICK 32u

/* ---- attaching ---- */

static void detach(struct link *link, struct place *place, unsigned lanes)
{
	while (lanes-- > 0)
		tp_detach(link->data[lanes].conn, place->handles[lanes]);
}

static int attach(struct link *link, const struct wire_slab *slab, struct place *place)
{
	unsigned lane;
	int err;

	place->remote = (struct tp_remote){
		.key = slab->key,
		.bytes = link->slab_bytes,
		.address = slab->address,
		.rkey = slab->rkey,
	};
	for (lane = 0; lane < STORE_LANES; lane++) {
		err = tp_attach(link->data[lane].conn, &place->remote, &place->handles[lane]);
		if (err) {
			detach(link, place, lane);
			return err;
		}
	}
	return 0;
}

static int take_slab(struct store *store, unsigned donor, const struct wire_slab *slab)
{
	struct link *link = store->links[donor];
	uint32_t number;
	int err;

	err = slots_prepare(store->slots, donor, (uint32_t)(link->slab_bytes >> PAGE_SHIFT),
			    &number);
	if (err)
		return err;
	err = attach(link, slab, &store->places[number]);
	if (err) {
		slots_forget(store->slots, number);
		return err;
	}
	slots_publish(store->slots, number);
	return 0;
}

/* ---- other connections ---- */

struct move {
	struct store *store;
	unsigned donor;
	unsigned lane;
};

/* The next slab from `number` on that the donor lends, or STORE_MAX_SLABS. */
static uint32_t next_lent(const struct move *move, uint32_t number)
{
	const struct slots *slots = move->store->slots;

	for (; number < STORE_MAX_SLABS; number++) {
		uint32_t slot = number << STORE_SLAB_SHIFT;

		if (slots_is_alive(slots, slot) && slots_donor(slots, slot) == move->donor)
			break;
	}
	return number;
}

/* A handle that no slab has any more is in no request. */
static uint32_t translate(void *arg, uint32_t handle)
{
	const struct move *move = arg;
	unsigned lane = move->lane;
	const struct place *places = move->store->places;
	uint32_t number = next_lent(move, 0);

	while (number < STORE_MAX_SLABS && places[number].before[lane] != handle)
		number = next_lent(move, number + 1);
	return number < STORE_MAX_SLABS ? places[number].handles[lane] : handle;
}

static int move_slab(struct place *place, struct tp_conn *const conns[STORE_LANES])
{
	int err = 0;

	for (unsigned lane = 0; lane < STORE_LANES && !err; lane++) {
		place->before[lane] = place->handles[lane];
		err = tp_attach(conns[lane], &place->remote, &place->handles[lane]);
	}
	return err;
}

void store_lease_move(struct store *store, unsigned donor, uint64_t now_ns)
{
	struct link *link = store->links[donor];
	struct move move = {.store = store, .donor = donor};
	uint32_t number = next_lent(&move, 0);
	char reason[REASON_BYTES];
	int err = 0;

	for (; number < STORE_MAX_SLABS && !err; number = next_lent(&move, number + 1))
		err = move_slab(&store->places[number], link->attempt.conns);
	if (err) {
		link_give_up(link, err, "a slab cannot be reached on its new connection: %s",
			     reason_text(err, reason));
		return;
	}
	for (move.lane = 0; move.lane < STORE_LANES; move.lane++)
		data_reopen(&link->data[move.lane], link->attempt.conns[move.lane], translate,
			    &move);
	link_switch_finish(link, now_ns);
}

/* ---- granted ---- */

/* Out of memory or numbers is our own trouble; all else means that the donor is no good. */
static bool is_ours(int err)
{
	return err == -ENOMEM || err == -ENOSPC;
}

/* There is nothing to attach them to just now. They are asked for again. */
static void decline(struct link *link, const struct wire_grant *grant)
{
	uint64_t keys[WIRE_MAX_LEASES];

	for (uint32_t i = 0; i < grant->count; i++)
		keys[i] = grant->slabs[i].key;
	link_return(link, keys, grant->count);
}

void store_lease_take(struct store *store, unsigned donor, const struct wire_grant *grant)
{
	struct link *link = store->links[donor];
	uint64_t unused[WIRE_MAX_LEASES];
	char reason[REASON_BYTES];
	uint32_t i, n = 0;
	int err = 0;

	if (link_is_switching(link)) {
		decline(link, grant);
		return;
	}
	for (i = 0; i < grant->count; i++) {
		if (!err)
			err = take_slab(store, donor, &grant->slabs[i]);
		if (err)
			unused[n++] = grant->slabs[i].key;
	}
	if (!err)
		return;
	if (!is_ours(err)) {
		link_give_up(link, err, "a slab it lent cannot be reached: %s",
			     reason_text(err, reason));
		return;
	}
	log_warn("donor %s: %u slabs cannot be used: %s", link->donor.text, n,
		 reason_text(err, reason));
	link_return(link, unused, n);
	link->room = 0; /* until its next word, so that this is not tried all the time */
}

/* ---- ahead of need ---- */

static void describe(const struct store *store, struct placement_donor *donors)
{
	unsigned i;

	for (i = 0; i < store->link_count; i++) {
		const struct link *link = store->links[i];
		bool is_up = link->state == LINK_UP && !link_is_switching(link);

		donors[i] = (struct placement_donor){
			.slab_slots = is_up ? (uint32_t)(link->slab_bytes >> PAGE_SHIFT) : 0,
			.asked = is_up ? link->asked : 0,
			.room = is_up ? link->room : 0,
			.free = slots_free_of(store->slots, i),
		};
	}
}

static void ask(struct store *store, struct placement_donor *donors, uint64_t target)
{
	unsigned i;

	placement_share(donors, store->link_count, target);
	for (i = 0; i < store->link_count; i++) {
		if (donors[i].slab_slots && donors[i].asked > store->links[i]->asked)
			link_ask(store->links[i], donors[i].asked - store->links[i]->asked);
	}
}

/* ---- given back ---- */

/* False if the donor has no slab without a slot in use. */
static bool give_back(struct store *store, unsigned donor)
{
	struct link *link = store->links[donor];
	uint32_t number;
	uint64_t key;

	if (slots_retire(store->slots, donor, &number))
		return false;
	key = store->places[number].remote.key;
	detach(link, &store->places[number], STORE_LANES);
	slots_forget(store->slots, number);
	link_return(link, &key, 1);
	return true;
}

static void give_surplus_back(struct store *store, struct placement_donor *donors, uint64_t target)
{
	bool tried[CONFIG_MAX_DONORS] = {false};
	uint32_t leased[CONFIG_MAX_DONORS];
	unsigned i, n = store->link_count, left = RETURNS_A_TICK;

	for (i = 0; i < n; i++) {
		leased[i] = slots_slabs_of(store->slots, i);
		tried[i] = !donors[i].slab_slots;
	}
	while (left-- > 0) {
		i = placement_surplus(donors, leased, tried, n, target);
		if (i == n)
			return;
		tried[i] = !give_back(store, i);
		leased[i] = slots_slabs_of(store->slots, i);
		donors[i].free = slots_free_of(store->slots, i);
	}
}

/* Whether there have been too many slabs for long enough. */
static bool surplus_lasts(struct store *store, uint64_t now_ns, uint64_t target)
{
	if (slots_free(store->slots) < 2 * target) {
		store->surplus_since_ns = 0;
		return false;
	}
	if (!store->surplus_since_ns)
		store->surplus_since_ns = now_ns;
	return now_ns - store->surplus_since_ns >= SURPLUS_NS;
}

void store_lease_tick(struct store *store, uint64_t now_ns)
{
	struct placement_donor donors[CONFIG_MAX_DONORS];
	uint64_t recent = placement_demand(&store->demand, now_ns, slots_taken(store->slots));
	uint64_t target = placement_target(recent);

	describe(store, donors);
	ask(store, donors, target);
	atomic_store_explicit(&store->is_full, placement_is_full(donors, store->link_count),
			      memory_order_relaxed);
	if (surplus_lasts(store, now_ns, target))
		give_surplus_back(store, donors, target);
}
