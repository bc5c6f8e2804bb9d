#include "pager/link.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "pager/own.h"
#include "pager/reason.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

/* How often a donor is asked whether it has room again, when nobody has. A guess. */
#define EAGER_NS (1000 * NS_PER_MS)

/*
 * Slabs asked for in one LEASE. Over shm each takes two round trips when it is granted, some 0.1 ms
 * with a donor at rest: a GRANT is dealt with in a few ms, and heartbeats are not held up.
 */
#define MOST_SLABS 32u

/* LEASEs that wait for their GRANT: one being carried out, one behind it. A donor lets 8 wait. */
#define MOST_ASKING 2u

/* A LEASE's number carries how many it asks for: the GRANT's echo tells what is not coming. */
#define REQUEST(serial, slabs) ((uint32_t)(serial) << 16 | (slabs))
#define REQUEST_SLABS(request) ((request)&0xffff)

/* ---- open, close ---- */

int link_open(const struct link_options *options, struct link **out)
{
	struct link *link = own_alloc(sizeof(*link));
	unsigned lane;
	int err;

	if (!link)
		return -ENOMEM;
	link->donor = *options->donor;
	link->channel.fd = -1;
	link->exchange.connector = options->connector;
	link->verdict.wake = options->wake;
	link->verdict.arg = options->arg;
	link->attempt = (struct attempt){
		.donor = &link->donor,
		.transport = options->transport,
		.transports = options->transports,
		.channel = &link->channel,
		.wake = options->wake,
		.arg = options->arg,
	};
	for (lane = 0; lane < STORE_LANES; lane++) {
		err = data_init(&link->data[lane], &link->verdict);
		if (err)
			goto err_destroy;
	}
	*out = link;
	return 0;

err_destroy:
	while (lane-- > 0)
		data_destroy(&link->data[lane]);
	own_free(link, sizeof(*link));
	return err;
}

static void say_goodbye(struct link *link)
{
	const struct wire_message bye = {.type = WIRE_BYE};

	if (link->state == LINK_UP && channel_send(&link->channel, &bye) == 0)
		log_debug("donor %s: said goodbye", link->donor.text);
}

/* Whether an attempt is under way. */
static bool is_trying(const struct link *link)
{
	return link->state == LINK_TRYING || link_switch_is_trying(link);
}

bool link_close(struct link *link)
{
	unsigned lane;

	if (!link)
		return true;
	if (is_trying(link) && !attempt_abandon(&link->attempt))
		return false;
	say_goodbye(link);
	for (lane = 0; lane < STORE_LANES; lane++)
		data_destroy(&link->data[lane]);
	channel_close(&link->channel);
	own_free(link, sizeof(*link));
	return true;
}

/* ---- reaching it ---- */

/* Once per cause: a donor that stays away is tried every two seconds. */
static void say_away(struct link *link, const char *why)
{
	if (strcmp(link->said, why) == 0)
		return;
	snprintf(link->said, sizeof(link->said), "%s", why);
	log_warn("donor %s cannot be used: %s", link->donor.text, why);
}

void link_try(struct link *link, uint64_t deadline_ns)
{
	link->attempt.deadline_ns = deadline_ns;
	link->next_try_ns = clock_ns() + LINK_RETRY_NS;
	link->state = LINK_TRYING;
	attempt_want(&link->attempt);
}

/* Without a thread of the connector's RDMA works, but is not exchanged for tcp when it fails. */
void link_attend(struct link *link)
{
	struct attempt *attempt = &link->attempt;

	bool uses_rdma = attempt_has_ended(attempt) && !attempt->err && attempt->kind == TP_VERBS;

	if (uses_rdma && connector_start(link->exchange.connector))
		log_debug("donor %s: no thread for new connections", link->donor.text);
	attempt_attend(attempt);
}

static void come_up(struct link *link, uint64_t now_ns)
{
	const struct attempt *attempt = &link->attempt;
	const struct wire_welcome *welcome = &attempt->welcome;
	unsigned lane;

	atomic_store(&link->verdict.err, 0);
	link->why[0] = '\0';
	link->said[0] = '\0';
	link->was_lost = false;
	link->kind = attempt->kind;
	link->slab_bytes = welcome->slab_bytes;
	link->lease_ns = welcome->lease_ms * NS_PER_MS;
	link->renew_ns = welcome->renew_ms * NS_PER_MS;
	link->room = welcome->slabs_free;
	link->asking = 0;
	link->asked = 0;
	link->renewed_ns = 0;
	link->next_renew_ns = now_ns;
	link->lease_end_ns = attempt->greeted_ns + link->lease_ns;
	for (lane = 0; lane < STORE_LANES; lane++)
		data_open(&link->data[lane], attempt->conns[lane]);
	link_switch_allow(link);
	link->state = LINK_UP;
	log_info("donor %s connected over %s, %llu of %llu slabs of %llu MiB free",
		 link->donor.text, tp_kind_name(link->kind),
		 (unsigned long long)welcome->slabs_free, (unsigned long long)welcome->slabs,
		 (unsigned long long)welcome->slab_bytes >> 20);
}

bool link_collect(struct link *link, uint64_t now_ns)
{
	if (!attempt_is_done(&link->attempt))
		return false;
	attempt_collect(&link->attempt);
	if (link->attempt.err) {
		say_away(link, link->attempt.why);
		link->state = LINK_AWAY;
		return false;
	}
	come_up(link, now_ns);
	return true;
}

/* ---- what it says ---- */

static int hear_grant(struct link *link, const struct wire_grant *grant, struct wire_grant *out)
{
	uint32_t asked = REQUEST_SLABS(grant->request);

	if (!link->asking || asked > link->asked || grant->count > asked) {
		link_give_up(link, -EPROTO, "it grants what was not asked for");
		return 0;
	}
	link->asking--;
	link->asked -= asked;
	/* what it cannot grant in full it has not, until it says otherwise */
	link->room = grant->count < asked ? 0 : grant->slabs_free;
	*out = *grant;
	return 1;
}

static void hear_renewed(struct link *link, const struct wire_renewed *renewed)
{
	link->room = renewed->slabs_free;
	if (!link->renewed_ns)
		return;
	/* counted from when we asked: the donor's own clock began later */
	link->lease_end_ns = link->renewed_ns + link->lease_ns;
	link->renewed_ns = 0;
}

/* 1 if `out` has become a GRANT. */
static int hear(struct link *link, const struct wire_message *message, struct wire_grant *out)
{
	switch (message->type) {
	case WIRE_GRANT:
		return hear_grant(link, &message->grant, out);
	case WIRE_RENEWED:
		hear_renewed(link, &message->renewed);
		return 0;
	case WIRE_REVOKED:
		link_give_up(link, -EKEYREVOKED, "it has taken its leases back");
		return 0;
	case WIRE_ERROR:
		link_give_up(link, -ECONNRESET, "it says: %s", message->error.text);
		return 0;
	default:
		link_give_up(link, -EPROTO, "it sends %s out of turn",
			     wire_type_name(message->type));
		return 0;
	}
}

int link_hear(struct link *link, struct wire_grant *out)
{
	struct wire_message message;
	int n;

	/* also after a lane's verdict: the donor may have said why it goes */
	while ((n = channel_receive(&link->channel, &message)) > 0) {
		if (hear(link, &message, out))
			return 1;
		if (link->why[0])
			return 0;
	}
	if (n < 0)
		verdict_pass(&link->verdict, n);
	return 0;
}

/* ---- what it is told ---- */

static void tell(struct link *link, const struct wire_message *message)
{
	int err = channel_send(&link->channel, message);

	if (err)
		verdict_pass(&link->verdict, err);
}

static void renew(struct link *link, uint64_t now_ns, bool is_eager)
{
	const struct wire_message message = {.type = WIRE_RENEW};
	uint64_t period = link->renew_ns;

	if (is_eager && period > EAGER_NS)
		period = EAGER_NS;
	/* one at a time: an answer must not be taken for that of a later question */
	if (link->renewed_ns || now_ns + link->renew_ns < link->next_renew_ns + period)
		return;
	link->renewed_ns = now_ns;
	link->next_renew_ns = now_ns + link->renew_ns;
	tell(link, &message);
}

void link_beat(struct link *link, uint64_t now_ns, bool is_eager)
{
	int err = channel_flush(&link->channel);

	if (err && err != -EAGAIN)
		verdict_pass(&link->verdict, err);
	else if (now_ns >= link->lease_end_ns)
		link_give_up(link, -ETIMEDOUT, "silent for %llu ms, so its leases are over",
			     (unsigned long long)(link->lease_ns / NS_PER_MS));
	else
		renew(link, now_ns, is_eager);
}

void link_ask(struct link *link, uint32_t slabs)
{
	while (slabs && link->asking < MOST_ASKING && !verdict_of(&link->verdict)) {
		uint32_t now = slabs < MOST_SLABS ? slabs : MOST_SLABS;
		const struct wire_message message = {
			.type = WIRE_LEASE,
			.lease = {.request = REQUEST(link->serial++, now), .slabs = now},
		};

		tell(link, &message);
		link->asking++;
		link->asked += now;
		slabs -= now;
	}
}

void link_return(struct link *link, const uint64_t *keys, uint32_t count)
{
	struct wire_message message = {.type = WIRE_RETURN};

	if (!count)
		return;
	message.keys.count = count;
	memcpy(message.keys.keys, keys, count * sizeof(*keys));
	tell(link, &message);
	link->room += count;
}

/* ---- the end ---- */

void link_give_up(struct link *link, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(link->why, sizeof(link->why), fmt, args);
	va_end(args);
	verdict_pass(&link->verdict, err);
}

const char *link_break(struct link *link)
{
	char reason[REASON_BYTES];

	if (!link->why[0])
		snprintf(link->why, sizeof(link->why), "%s",
			 reason_text(verdict_of(&link->verdict), reason));
	link->state = LINK_BROKEN;
	link->was_lost = true;
	return link->why;
}

bool link_settle(struct link *link, uint64_t now_ns)
{
	bool was_open = link->channel.fd >= 0, is_shut = true, is_idle = true;
	unsigned lane;

	if (!link_switch_end(link))
		return false;
	for (lane = 0; lane < STORE_LANES; lane++) {
		is_shut = data_shut(&link->data[lane]) && is_shut;
		is_idle = data_is_idle(&link->data[lane]) && is_idle;
	}
	if (!is_shut)
		return false;
	channel_close(&link->channel);
	if (is_idle) {
		link->state = LINK_AWAY;
		link->next_try_ns = now_ns + LINK_RETRY_NS;
	}
	return was_open;
}
