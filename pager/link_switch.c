#include "pager/link_switch.h"

#include "common/base/log.h"
#include "pager/link.h"
#include "pager/reason.h"

#include <errno.h>

/* How often it is looked whether RDMA can be had again. A guess. */
#define LOOK_NS UINT64_C(5000000000)

void link_switch_allow(struct link *link)
{
	bool can = link->kind == TP_VERBS && connector_is_running(link->exchange.connector);

	for (unsigned lane = 0; lane < STORE_LANES; lane++)
		data_allow_switch(&link->data[lane], can);
}

bool link_is_switching(const struct link *link)
{
	return link->exchange.state >= SWITCH_SHUTTING;
}

bool link_switch_is_trying(const struct link *link)
{
	return link->exchange.state == SWITCH_RETURNING ||
	       link->exchange.state == SWITCH_CONNECTING;
}

/* ---- the steps ---- */

/* The errno that has ended one of the lanes' connections, or 0. */
static int find_trouble(const struct link *link)
{
	int err = 0;

	for (unsigned lane = 0; lane < STORE_LANES && !err; lane++)
		err = data_trouble(&link->data[lane]);
	return err;
}

static bool all_shut(struct link *link)
{
	bool all = true;

	for (unsigned lane = 0; lane < STORE_LANES; lane++)
		all = data_shut(&link->data[lane]) && all;
	return all;
}

static void connect_over(struct link *link, enum tp_kind kind)
{
	link->attempt.mode = ATTEMPT_AGAIN;
	link->attempt.again = kind;
	connector_submit(link->exchange.connector, &link->attempt);
}

static void shut(struct link *link)
{
	for (unsigned lane = 0; lane < STORE_LANES; lane++)
		data_switch_begin(&link->data[lane]);
	link->exchange.state = SWITCH_SHUTTING;
}

/* Away: not over RDMA, which has just failed, unless nothing else is wanted and it can be had. */
static enum tp_kind refuge(const struct link *link)
{
	bool only = link->attempt.transport == CONFIG_VERBS && !link->exchange.is_closed;

	return only ? TP_VERBS : TP_TCP;
}

static void stand(struct link *link, uint64_t now_ns)
{
	link->exchange.trouble = find_trouble(link);
	if (link->exchange.trouble) {
		link->exchange.is_closed |= link->exchange.trouble == -EPERM;
		shut(link);
	} else if (link->exchange.next_look_ns && now_ns >= link->exchange.next_look_ns) {
		connect_over(link, TP_VERBS);
		link->exchange.state = SWITCH_RETURNING;
	}
}

static void come_back(struct link *link, uint64_t now_ns)
{
	char reason[REASON_BYTES];

	if (!attempt_is_done(&link->attempt))
		return;
	attempt_collect(&link->attempt);
	if (!link->attempt.err) {
		shut(link);
		return;
	}
	log_debug("donor %s: not over verbs again: %s", link->donor.text,
		  reason_text(link->attempt.err, reason));
	link->exchange.state = SWITCH_STEADY;
	link->exchange.next_look_ns = now_ns + LOOK_NS;
}

/* Either the new connections are there already, or it is time to make them. */
static bool go_on_if_shut(struct link *link)
{
	if (!all_shut(link)) { /* a lane was just inside: it will not be for long */
		verdict_wake(&link->verdict);
		return false;
	}
	if (!link->exchange.trouble) {
		link->exchange.state = SWITCH_CONNECTED;
		return true;
	}
	connect_over(link, refuge(link));
	link->exchange.state = SWITCH_CONNECTING;
	return false;
}

/* It answers, and the answer is no: there is no session any more, or no donor. */
static bool is_refusal(int err)
{
	return err == -ECONNREFUSED || err == -EACCES || err == -EPROTO;
}

/* Tried again until the leases are over; that is link_beat()'s to find. */
static bool collect(struct link *link)
{
	int err;

	if (!attempt_is_done(&link->attempt))
		return false;
	attempt_collect(&link->attempt);
	err = link->attempt.err;
	link->exchange.state = err ? SWITCH_SHUTTING : SWITCH_CONNECTED;
	if (is_refusal(err))
		verdict_pass(&link->verdict, err);
	return !err;
}

bool link_switch_turn(struct link *link, uint64_t now_ns)
{
	switch (link->exchange.state) {
	case SWITCH_STEADY:
		stand(link, now_ns);
		return false;
	case SWITCH_RETURNING:
		come_back(link, now_ns);
		return false;
	case SWITCH_SHUTTING:
		return go_on_if_shut(link);
	case SWITCH_CONNECTING:
		return collect(link);
	case SWITCH_CONNECTED:
		return true;
	}
	return false;
}

/* ---- done ---- */

static void say_switched(const struct link *link, enum tp_kind before, int trouble)
{
	char reason[REASON_BYTES];

	if (link->exchange.is_closed)
		log_warn("donor %s: the device for %s refuses a process that has changed its "
			 "identity: going on over %s",
			 link->donor.text, tp_kind_name(before), tp_kind_name(link->kind));
	else if (trouble)
		log_warn("donor %s: the connection over %s failed (%s): going on over %s",
			 link->donor.text, tp_kind_name(before), reason_text(trouble, reason),
			 tp_kind_name(link->kind));
	else
		log_warn("donor %s: going on over %s again", link->donor.text,
			 tp_kind_name(link->kind));
}

void link_switch_finish(struct link *link, uint64_t now_ns)
{
	enum tp_kind before = link->kind;
	int trouble = link->exchange.trouble;

	link->kind = link->attempt.kind;
	link->exchange.state = SWITCH_STEADY;
	link->exchange.trouble = 0;
	link->exchange.next_look_ns =
		link->kind == TP_VERBS || link->exchange.is_closed ? 0 : now_ns + LOOK_NS;
	say_switched(link, before, trouble);
}

bool link_switch_end(struct link *link)
{
	struct attempt *attempt = &link->attempt;
	bool was_trying = link_switch_is_trying(link);
	bool has_conns = link->exchange.state == SWITCH_CONNECTED ||
			 (link->exchange.state == SWITCH_SHUTTING && !link->exchange.trouble);

	for (unsigned lane = 0; lane < STORE_LANES; lane++)
		data_switch_give_up(&link->data[lane]);
	if (was_trying && !attempt_is_done(attempt))
		return false;
	if (was_trying) {
		attempt_collect(attempt);
		has_conns = !attempt->err;
	}
	if (has_conns)
		attempt_undo(attempt);
	link->exchange.state = SWITCH_STEADY;
	link->exchange.trouble = 0;
	link->exchange.next_look_ns = 0;
	return true;
}
