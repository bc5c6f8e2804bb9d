/*
 * Control sessions on socket pairs, with a loop and an arena but no donord around them. What takes
 * time is asked for by the time that the sweep is told.
 */
#include "tests/suite.h"

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "donor/arena.h"
#include "donor/donor.h"
#include "donor/host.h"
#include "donor/options.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define SLABS 4u
#define LEASE_S 10u
#define TURNS 100

static const struct slab_kind kind = {1u << 20, false, HOST_NO_NODE};
static struct donor_options options;
static struct donor donor;
static unsigned lines, hidden;
static char last[LOG_LINE_BYTES];

static void keep(void *arg UNUSED, enum log_level level UNUSED, const char *line)
{
	unsigned more;

	lines++;
	if (sscanf(line, "%u more lines about", &more) == 1)
		hidden += more;
	snprintf(last, sizeof(last), "%s", line);
}

static void begin(unsigned max_sessions)
{
	lines = 0;
	hidden = 0;
	log_set_sink(keep, NULL);
	memset(&donor, 0, sizeof(donor));
	options = (struct donor_options){
		.slab_bytes = kind.bytes,
		.slabs = SLABS,
		.lease_ms = LEASE_S * 1000,
		.renew_ms = LEASE_S * 500,
		.max_sessions = max_sessions,
	};
	donor.options = &options;
	donor_sessions_init(&donor.sessions);
	lending_init(&donor.lending);
	quiet_init(&donor.strangers, "strangers");
	quiet_init(&donor.clients, "clients");
	CU_ASSERT_EQUAL_FATAL(loop_open(&donor.loop), 0);
	CU_ASSERT_EQUAL_FATAL(lease_table_open(SLABS, SLABS, LEASE_S * SECOND, 1, &donor.leases),
			      0);
	CU_ASSERT_EQUAL_FATAL(arena_open(&kind, SLABS, &donor.arena), 0);
}

static void end(void)
{
	donor_sessions_close(&donor);
	arena_close(donor.arena);
	lease_table_close(donor.leases);
	loop_close(donor.loop);
	log_set_sink(NULL, NULL);
}

static void turn(void)
{
	CU_ASSERT_TRUE(loop_turn(donor.loop, 1) >= 0);
	arena_fd_clear(donor.arena);
	lending_go_on(&donor);
	donor_sessions_settle(&donor);
}

/* As main.c does every 100 ms, `later` from now. */
static void sweep(uint64_t later)
{
	uint64_t now = clock_ns() + later;

	lending_expire(&donor, now);
	donor_sessions_sweep(&donor, now);
	quiet_tell(&donor.strangers, now);
	quiet_tell(&donor.clients, now);
}

static unsigned count(enum donor_session_state state)
{
	return donor.sessions.count[state];
}

/* A connection that has said what it is and nothing else. */
static void connect_to_it(struct channel *out)
{
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	channel_open(out, fds[0]);
	CU_ASSERT_EQUAL(channel_send_magic(out), 0);
	donor_session_open(&donor, fds[1]);
}

static void say(struct channel *channel, const struct wire_message *message)
{
	CU_ASSERT_EQUAL(channel_send(channel, message), 0);
}

static void hear(struct channel *channel, uint16_t type, struct wire_message *out)
{
	int n = 0;

	for (int i = 0; i < TURNS && n == 0; i++) {
		turn();
		n = channel_receive(channel, out);
	}
	CU_ASSERT_EQUAL_FATAL(n, 1);
	CU_ASSERT_EQUAL(out->type, type);
}

static void expect(struct channel *channel, uint16_t type)
{
	struct wire_message message;

	hear(channel, type, &message);
}

static void say_hello(struct channel *channel)
{
	const struct wire_message hello = {
		.type = WIRE_HELLO,
		.hello = {.version = 1, .min_version = 1, .pid = 7, .name = "visitor"},
	};

	say(channel, &hello);
}

static void greet(struct channel *out)
{
	connect_to_it(out);
	say_hello(out);
	expect(out, WIRE_WELCOME);
}

/* With the token. */
static void greet_for_token(struct channel *out, uint8_t token[WIRE_TOKEN_BYTES])
{
	struct wire_message welcome;

	connect_to_it(out);
	say_hello(out);
	hear(out, WIRE_WELCOME, &welcome);
	memcpy(token, welcome.welcome.token, WIRE_TOKEN_BYTES);
}

static struct wire_grant lease(struct channel *channel, uint32_t slabs)
{
	const struct wire_message question = {.type = WIRE_LEASE, .lease = {1, slabs}};
	struct wire_message answer;

	say(channel, &question);
	hear(channel, WIRE_GRANT, &answer);
	CU_ASSERT_EQUAL(answer.grant.count, slabs);
	return answer.grant;
}

/* How many of the slabs the other session shares with us. */
static uint32_t share(struct channel *channel, const uint8_t token[WIRE_TOKEN_BYTES],
		      const struct wire_grant *slabs)
{
	struct wire_message message = {.type = WIRE_SHARE, .share = {.request = 9}};

	memcpy(message.share.token, token, WIRE_TOKEN_BYTES);
	message.share.count = slabs->count;
	for (uint32_t i = 0; i < slabs->count; i++)
		message.share.keys[i] = slabs->slabs[i].key;
	say(channel, &message);
	hear(channel, WIRE_GRANT, &message);
	CU_ASSERT_EQUAL(message.grant.request, 9);
	return message.grant.count;
}

static void hang_up(struct channel *channel)
{
	channel_close(channel);
	for (int i = 0; i < TURNS && donor_sessions_count(&donor.sessions); i++)
		turn();
}

/* ---- silence ---- */

static void who_owes_hello_has_five_seconds(void)
{
	struct channel client;

	begin(4);
	connect_to_it(&client);
	sweep(4 * SECOND);
	CU_ASSERT_EQUAL(count(DONOR_SESSION_GREETING), 1);
	sweep(6 * SECOND);
	CU_ASSERT_EQUAL(donor_sessions_count(&donor.sessions), 0);
	channel_close(&client);
	end();
}

static void a_silent_session_is_told_and_ended(void)
{
	struct channel client;
	struct wire_message message;

	begin(4);
	greet(&client);
	sweep((2 * LEASE_S - 1) * SECOND);
	CU_ASSERT_EQUAL(count(DONOR_SESSION_OPEN), 1);
	sweep((2 * LEASE_S + 1) * SECOND);
	CU_ASSERT_EQUAL(count(DONOR_SESSION_OPEN), 0);
	hear(&client, WIRE_ERROR, &message);
	CU_ASSERT_STRING_EQUAL(message.error.text, "no sign of life for 20000 ms");
	sweep(2 * SECOND);
	CU_ASSERT_EQUAL(donor_sessions_count(&donor.sessions), 0);
	channel_close(&client);
	end();
}

static void a_session_outlives_its_leases_once(void)
{
	struct channel client;

	begin(4);
	greet(&client);
	lease(&client, 2);
	sweep((LEASE_S + 1) * SECOND);
	expect(&client, WIRE_REVOKED);
	CU_ASSERT_EQUAL(lease_table_count(donor.leases), 0);
	CU_ASSERT_EQUAL(count(DONOR_SESSION_OPEN), 1);
	lease(&client, 1);
	channel_close(&client);
	end();
}

/* As if its time were over just now. */
static void forget_the_past(void)
{
	TAILQ_FIRST(&donor.sessions.in_state[DONOR_SESSION_OPEN])->deadline_ns = 1;
}

static void every_message_is_a_sign_of_life(void)
{
	static const struct wire_message renew = {.type = WIRE_RENEW};
	static const struct wire_message nothing_back = {.type = WIRE_RETURN};
	struct channel client;

	begin(4);
	greet(&client);
	forget_the_past();
	say(&client, &renew);
	expect(&client, WIRE_RENEWED);
	sweep(LEASE_S * SECOND);
	CU_ASSERT_EQUAL(count(DONOR_SESSION_OPEN), 1);
	forget_the_past();
	say(&client, &nothing_back);
	turn();
	sweep(LEASE_S * SECOND);
	CU_ASSERT_EQUAL(count(DONOR_SESSION_OPEN), 1);
	channel_close(&client);
	end();
}

static void half_a_message_is_none(void)
{
	struct channel client;

	begin(4);
	greet(&client);
	forget_the_past();
	CU_ASSERT_EQUAL(write(client.fd, "\0\0\0", 3), 3);
	turn();
	sweep(0);
	CU_ASSERT_EQUAL(count(DONOR_SESSION_OPEN), 0);
	channel_close(&client);
	end();
}

static void idle_sessions_do_not_fill_it_for_ever(void)
{
	struct channel idle[3], late;

	begin(3);
	for (int i = 0; i < 3; i++)
		greet(&idle[i]);
	connect_to_it(&late);
	expect(&late, WIRE_ERROR);
	channel_close(&late);
	sweep((2 * LEASE_S + 1) * SECOND);
	greet(&late);
	for (int i = 0; i < 3; i++)
		channel_close(&idle[i]);
	channel_close(&late);
	end();
}

/* ---- sharing ---- */

static void a_shared_slab_is_free_when_both_have_gone(void)
{
	struct channel parent, child;
	uint8_t token[WIRE_TOKEN_BYTES];
	struct wire_grant slabs;

	begin(4);
	greet_for_token(&parent, token);
	greet(&child);
	slabs = lease(&parent, SLABS);
	CU_ASSERT_EQUAL(share(&child, token, &slabs), SLABS);
	CU_ASSERT_EQUAL(arena_slabs_free(donor.arena), 0);
	channel_close(&parent);
	for (int i = 0; i < TURNS && count(DONOR_SESSION_OPEN) == 2; i++)
		turn();
	CU_ASSERT_EQUAL(lease_table_count(donor.leases), SLABS);
	CU_ASSERT_EQUAL(arena_slabs_free(donor.arena), 0);
	sweep(0);
	expect(&child, WIRE_SOLE);
	hang_up(&child);
	CU_ASSERT_EQUAL(lease_table_count(donor.leases), 0);
	end();
}

/* All or none: half of a process's memory is of no use to its child. */
static void what_cannot_all_be_shared_is_not(void)
{
	struct channel parent, child, stranger;
	uint8_t token[WIRE_TOKEN_BYTES], others[WIRE_TOKEN_BYTES];
	struct wire_grant slabs;

	begin(4);
	greet_for_token(&parent, token);
	greet_for_token(&child, others);
	greet(&stranger);
	slabs = lease(&parent, 2);
	CU_ASSERT_EQUAL(share(&child, others, &slabs), 0); /* its own */
	CU_ASSERT_EQUAL(share(&stranger, others, &slabs), 0);
	slabs.slabs[1].key++;
	CU_ASSERT_EQUAL(share(&child, token, &slabs), 0);
	slabs.slabs[1].key--;
	token[3] ^= 1;
	CU_ASSERT_EQUAL(share(&child, token, &slabs), 0);
	CU_ASSERT_EQUAL(lease_table_count(donor.leases), 2);
	token[3] ^= 1;
	CU_ASSERT_EQUAL(share(&child, token, &slabs), 2);
	CU_ASSERT_EQUAL(share(&stranger, token, &slabs), 2);
	CU_ASSERT_EQUAL(share(&stranger, token, &slabs), 0); /* no room for more shares */
	CU_ASSERT_EQUAL(lease_table_count(donor.leases), 6);
	channel_close(&parent);
	channel_close(&child);
	channel_close(&stranger);
	end();
}

/* ---- the log ---- */

static void come_and_go(unsigned times)
{
	struct channel client;

	while (times--) {
		greet(&client);
		hang_up(&client);
	}
}

static void a_flood_of_visitors_is_cut_and_counted(void)
{
	begin(4);
	come_and_go(200);
	CU_ASSERT_TRUE(lines <= 10);
	sweep(60 * SECOND);
	/* One line for each that came, one for each that went, one for their number. */
	CU_ASSERT_EQUAL(lines - 1 + hidden, 2 * 200);
	CU_ASSERT_PTR_NOT_NULL(strstr(last, "about strangers not shown"));
	end();
}

static void a_flood_of_visitors_hides_no_client(void)
{
	struct channel client;

	begin(4);
	come_and_go(50);
	greet(&client);
	lease(&client, 1);
	hang_up(&client);
	CU_ASSERT_PTR_NOT_NULL(strstr(last, "visitor[7] from "));
	CU_ASSERT_PTR_NOT_NULL(strstr(last, "1 leases taken back"));
	end();
}

static void a_flood_of_clients_is_cut_too(void)
{
	struct channel client;

	begin(4);
	for (int i = 0; i < 50; i++) {
		greet(&client);
		lease(&client, 1);
		hang_up(&client);
	}
	CU_ASSERT_TRUE(lines <= 20);
	end();
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(who_owes_hello_has_five_seconds),
		SUITE_TEST(a_silent_session_is_told_and_ended),
		SUITE_TEST(a_session_outlives_its_leases_once),
		SUITE_TEST(every_message_is_a_sign_of_life),
		SUITE_TEST(half_a_message_is_none),
		SUITE_TEST(idle_sessions_do_not_fill_it_for_ever),
		SUITE_TEST(a_shared_slab_is_free_when_both_have_gone),
		SUITE_TEST(what_cannot_all_be_shared_is_not),
		SUITE_TEST(a_flood_of_visitors_is_cut_and_counted),
		SUITE_TEST(a_flood_of_visitors_hides_no_client),
		SUITE_TEST(a_flood_of_clients_is_cut_too),
		SUITE_END,
	};

	return suite_run("sessions", tests);
}
