/* What a session answers to each message. docs/protocol.md tells both sides of the talk. */
#include "donor/session.h"

#include "common/base/clock.h"
#include "donor/arena.h"
#include "donor/donor.h"
#include "donor/options.h"

#include <errno.h>
#include <string.h>

/* The lowest version still spoken here; the highest is WIRE_VERSION. */
#define MIN_VERSION 1

static void send_welcome(struct donor_session *session, uint16_t version)
{
	struct donor *donor = session->donor;
	struct wire_message message = {.type = WIRE_WELCOME};
	struct wire_welcome *welcome = &message.welcome;

	welcome->version = version;
	welcome->data_port = session->data_port;
	welcome->verbs_port = session->domains[TP_VERBS] ? session->verbs_port : 0;
	welcome->lease_ms = donor->options->lease_ms;
	welcome->renew_ms = donor->options->renew_ms;
	welcome->session = session->id;
	welcome->slab_bytes = donor->options->slab_bytes;
	welcome->slabs = arena_slabs(donor->arena);
	welcome->slabs_free = arena_slabs_free(donor->arena);
	memcpy(welcome->token, session->token, sizeof(welcome->token));
	memcpy(welcome->host_id, donor->host_id, sizeof(welcome->host_id));
	strcpy(welcome->local_path, donor->listeners.local_path);
	donor_session_send(session, &message);
}

static void answer_hello(struct donor_session *session, const struct wire_hello *hello)
{
	uint16_t version = hello->version < WIRE_VERSION ? hello->version : WIRE_VERSION;
	int err;

	if (version < MIN_VERSION || version < hello->min_version) {
		donor_session_refuse(session, WIRE_E_VERSION,
				     "donord speaks versions %d to %d of the protocol, the client "
				     "%u to %u: update the older of the two",
				     MIN_VERSION, WIRE_VERSION, hello->min_version, hello->version);
		return;
	}
	session->pid = hello->pid;
	memcpy(session->name, hello->name, sizeof(session->name));
	session->name[sizeof(session->name) - 1] = '\0';
	err = donor_session_admit(session);
	if (err)
		donor_session_end(session, strerror(-err));
	else
		send_welcome(session, version);
}

static void answer_renew(struct donor_session *session)
{
	struct donor *donor = session->donor;
	struct wire_message message = {.type = WIRE_RENEWED};

	lease_table_renew(donor->leases, &session->holder, clock_ns());
	message.renewed.slabs_free = arena_slabs_free(donor->arena);
	donor_session_send(session, &message);
}

static void answer_lease(struct donor_session *session, const struct wire_lease *lease)
{
	int err;

	if (lease->slabs > WIRE_MAX_LEASES) {
		donor_session_refuse(session, WIRE_E_PROTOCOL,
				     "%u slabs asked for at once, %d are possible", lease->slabs,
				     WIRE_MAX_LEASES);
		return;
	}
	err = lending_ask(session, lease->request, lease->slabs);
	if (err == -ENOBUFS)
		donor_session_refuse(session, WIRE_E_PROTOCOL, "too many LEASE messages at once");
	else if (err)
		donor_session_end(session, strerror(-err));
}

static void answer_out_of_turn(struct donor_session *session, uint16_t type)
{
	donor_session_refuse(session, WIRE_E_PROTOCOL, "%s out of turn", wire_type_name(type));
}

static void answer_open(struct donor_session *session, const struct wire_message *message)
{
	switch (message->type) {
	case WIRE_LEASE:
		answer_lease(session, &message->lease);
		return;
	case WIRE_RETURN:
		lending_take_back(session, &message->keys);
		return;
	case WIRE_SHARE:
		lending_share(session, &message->share);
		return;
	case WIRE_RENEW:
		answer_renew(session);
		return;
	case WIRE_BYE:
		donor_session_end(session, "bye");
		return;
	default:
		answer_out_of_turn(session, message->type);
	}
}

void donor_session_answer(struct donor_session *session, const struct wire_message *message)
{
	if (session->state == DONOR_SESSION_OPEN)
		answer_open(session, message);
	else if (message->type == WIRE_HELLO)
		answer_hello(session, &message->hello);
	else
		answer_out_of_turn(session, message->type);
}
