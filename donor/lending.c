#include "donor/lending.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "donor/arena.h"
#include "donor/donor.h"
#include "donor/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Ready for the next LEASE, while there are sessions: clients lease ahead, one or two at a time. */
#define SPARE_SLABS 2

struct lending_wait {
	struct donor_session *session;
	uint32_t wanted;
	struct wire_message grant; /* what it has so far */
	TAILQ_ENTRY(lending_wait) link;
};

void lending_init(struct lending *lending)
{
	TAILQ_INIT(&lending->waits);
	lending->lacking = 0;
}

/* ---- one lease ---- */

static void revoke(struct donor_session *session, uint64_t key)
{
	for (unsigned kind = 0; kind < TP_KINDS; kind++) {
		if (session->domains[kind])
			tp_domain_revoke(session->domains[kind], key);
	}
}

/* In every domain that the session has, under one key. Verbs alone needs what it fills in. */
static int export_slab(struct donor_session *session, const struct slab *slab,
		       struct wire_slab *named)
{
	const struct tp_export memory = {named->key, slab->base, slab->bytes, slab->memfd};
	struct tp_remote remotes[TP_KINDS] = {0};
	int err;

	for (unsigned kind = 0; kind < TP_KINDS; kind++) {
		if (!session->domains[kind])
			continue;
		err = tp_domain_export(session->domains[kind], &memory, &remotes[kind]);
		if (err)
			return err;
	}
	named->address = remotes[TP_VERBS].address;
	named->rkey = remotes[TP_VERBS].rkey;
	return 0;
}

/* Nobody can reach the slab when it goes back: then it may be destroyed. */
static void end_lease(struct donor_session *session, struct lease *lease)
{
	struct donor *donor = session->donor;
	struct lease_object *object;

	revoke(session, lease->key);
	object = lease_table_end(donor->leases, lease);
	if (object)
		arena_give(donor->arena, CONTAINER_OF(object, struct slab, lent));
}

/* Makes the lease one that can be used, or ends it. */
static int open_lease(struct donor_session *session, struct lease *lease, struct wire_slab *out)
{
	struct wire_slab named = {.key = lease->key};
	int err;

	err = export_slab(session, CONTAINER_OF(lease->object, struct slab, lent), &named);
	if (err) {
		end_lease(session, lease);
		return err;
	}
	session->lent_in_all++;
	*out = named;
	return 0;
}

/* Takes the slab, also on failure. */
static int lend(struct donor_session *session, struct slab *slab, struct wire_slab *out)
{
	struct donor *donor = session->donor;
	struct lease *lease;
	int err;

	err = lease_table_grant(donor->leases, &session->holder, &slab->lent, clock_ns(), &lease);
	if (err) {
		arena_give(donor->arena, slab);
		return err;
	}
	return open_lease(session, lease, out);
}

/* ---- those that wait ---- */

static void wait_end(struct donor *donor, struct lending_wait *wait)
{
	TAILQ_REMOVE(&donor->lending.waits, wait, link);
	donor->lending.lacking -= wait->wanted - wait->grant.grant.count;
	wait->session->waiting--;
	free(wait);
}

/* The first slabs may have waited for the last ones: their time begins when the client has them. */
static void answer(struct donor *donor, struct lending_wait *wait)
{
	lease_table_renew(donor->leases, &wait->session->holder, clock_ns());
	wait->grant.grant.slabs_free = arena_slabs_free(donor->arena);
	log_debug("session %" PRIu64 ": %u of %u slabs granted", wait->session->id,
		  wait->grant.grant.count, wait->wanted);
	donor_session_send(wait->session, &wait->grant);
	wait_end(donor, wait);
}

/* 0 and one slab more, or why there is none: -EAGAIN not yet. */
static int grant_one(struct donor *donor, struct lending_wait *wait)
{
	struct wire_grant *grant = &wait->grant.grant;
	struct slab *slab;
	int err;

	err = arena_take(donor->arena, &slab);
	if (err)
		return err;
	err = lend(wait->session, slab, &grant->slabs[grant->count]);
	if (err)
		return err;
	grant->count++;
	donor->lending.lacking--;
	return 0;
}

static void to_the_end(struct lending *lending, struct lending_wait *wait)
{
	TAILQ_REMOVE(&lending->waits, wait, link);
	TAILQ_INSERT_TAIL(&lending->waits, wait, link);
}

static void tell_short(const struct lending_wait *wait)
{
	quiet_line(donor_session_quiet(wait->session), clock_ns(), LOG_WARN,
		   "this host has no memory to spare: session %" PRIu64
		   " asked for %u slabs and gets %u",
		   wait->session->id, wait->wanted, wait->grant.grant.count);
}

static void grant_what_is_ready(struct donor *donor)
{
	struct lending *lending = &donor->lending;
	struct lending_wait *wait;
	int err;

	while ((wait = TAILQ_FIRST(&lending->waits))) {
		bool is_complete = wait->grant.grant.count == wait->wanted;

		err = is_complete ? 0 : grant_one(donor, wait);
		if (err == -EAGAIN)
			return;
		if (err == -ENOMEM)
			tell_short(wait);
		if (err || wait->grant.grant.count == wait->wanted)
			answer(donor, wait);
		else
			to_the_end(lending, wait);
	}
}

static void tell_arena(struct donor *donor)
{
	unsigned open = donor->sessions.count[DONOR_SESSION_OPEN];

	arena_want(donor->arena, donor->lending.lacking, open ? SPARE_SLABS : 0);
}

void lending_go_on(struct donor *donor)
{
	grant_what_is_ready(donor);
	tell_arena(donor);
}

int lending_ask(struct donor_session *session, uint32_t request, uint32_t slabs)
{
	struct donor *donor = session->donor;
	struct lending_wait *wait;

	if (session->waiting == LENDING_MAX_WAITING)
		return -ENOBUFS;
	wait = FAULT_POINT() ? NULL : calloc(1, sizeof(*wait));
	if (!wait)
		return -ENOMEM;
	wait->session = session;
	wait->wanted = slabs;
	wait->grant.type = WIRE_GRANT;
	wait->grant.grant.request = request;
	TAILQ_INSERT_TAIL(&donor->lending.waits, wait, link);
	session->waiting++;
	donor->lending.lacking += slabs;
	/* Before taking: to be asked again is a reason for the arena to try again. */
	tell_arena(donor);
	lending_go_on(donor);
	return 0;
}

/* ---- sharing ---- */

static int share_one(struct donor_session *session, struct donor_session *owner, uint64_t key,
		     struct wire_slab *out)
{
	struct lease_table *leases = session->donor->leases;
	struct lease *from = lease_table_find(leases, &owner->holder, key), *lease;
	int err;

	if (!from)
		return -ENOENT;
	err = lease_table_share(leases, from, &session->holder, clock_ns(), &lease);
	return err ? err : open_lease(session, lease, out);
}

static void end_granted(struct donor_session *session, struct wire_grant *grant)
{
	while (grant->count)
		end_lease(session, lease_table_find(session->donor->leases, &session->holder,
						    grant->slabs[--grant->count].key));
}

static int share_all(struct donor_session *session, const struct wire_share *share,
		     struct wire_grant *out)
{
	struct donor_session *owner = donor_session_find(session->donor, share->token);
	int err = owner && owner != session ? 0 : -EACCES;

	for (unsigned i = 0; i < share->count && !err; i++) {
		err = share_one(session, owner, share->keys[i], &out->slabs[i]);
		out->count += !err;
	}
	if (err)
		end_granted(session, out);
	return err;
}

void lending_share(struct donor_session *session, const struct wire_share *share)
{
	struct wire_message message = {.type = WIRE_GRANT};
	int err;

	message.grant.request = share->request;
	err = share_all(session, share, &message.grant);
	if (err)
		quiet_line(donor_session_quiet(session), clock_ns(), LOG_INFO,
			   "session %" PRIu64 ": %u leases cannot be shared: %s", session->id,
			   share->count, strerror(-err));
	else
		log_debug("session %" PRIu64 ": %u leases shared", session->id, share->count);
	message.grant.slabs_free = arena_slabs_free(session->donor->arena);
	donor_session_send(session, &message);
}

void lending_tell_sole(struct donor_session *session)
{
	struct wire_message message = {.type = WIRE_SOLE};
	struct wire_sole *sole = &message.sole;
	struct lease *lease;

	while (sole->count < WIRE_MAX_LEASES && (lease = lease_table_take_news(&session->holder)))
		sole->leases[sole->count++] = (struct wire_sole_lease){lease->key, lease->shares};
	if (sole->count)
		donor_session_send(session, &message);
}

/* ---- the way back ---- */

void lending_take_back(struct donor_session *session, const struct wire_keys *keys)
{
	struct donor *donor = session->donor;
	struct lease *lease;

	for (unsigned i = 0; i < keys->count; i++) {
		/* Not found: it expired, and REVOKED crossed the RETURN on its way. */
		lease = lease_table_find(donor->leases, &session->holder, keys->keys[i]);
		if (lease)
			end_lease(session, lease);
	}
}

static void forget_waits(struct donor_session *session)
{
	struct donor *donor = session->donor;
	struct lending_wait *wait = TAILQ_FIRST(&donor->lending.waits);
	struct lending_wait *next;

	for (; wait && session->waiting; wait = next) {
		next = TAILQ_NEXT(wait, link);
		if (wait->session == session)
			wait_end(donor, wait);
	}
}

void lending_forget(struct donor_session *session)
{
	struct lease *lease;

	forget_waits(session);
	while ((lease = LIST_FIRST(&session->holder.leases)))
		end_lease(session, lease);
}

/* Ends expired leases of the holder of the first one, as many as a message tells. */
static struct donor_session *expire_some(struct donor *donor, uint64_t now_ns,
					 struct wire_keys *out)
{
	struct lease *lease = lease_table_expired(donor->leases, now_ns);
	struct lease_holder *holder = lease->holder;
	struct donor_session *session = CONTAINER_OF(holder, struct donor_session, holder);

	for (out->count = 0; out->count < WIRE_MAX_LEASES; out->count++) {
		lease = lease_table_expired(donor->leases, now_ns);
		if (!lease || lease->holder != holder)
			break;
		out->keys[out->count] = lease->key;
		end_lease(session, lease);
	}
	return session;
}

void lending_expire(struct donor *donor, uint64_t now_ns)
{
	struct wire_message message = {.type = WIRE_REVOKED};
	struct donor_session *session;

	while (lease_table_expired(donor->leases, now_ns)) {
		session = expire_some(donor, now_ns, &message.keys);
		quiet_line(&donor->clients, clock_ns(), LOG_INFO,
			   "session %" PRIu64 ": %u leases expired: no sign of life for %u ms",
			   session->id, message.keys.count, donor->options->lease_ms);
		donor_session_send(session, &message);
	}
}
