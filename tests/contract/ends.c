#include "tests/contract/contract.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096u
#define FLIGHT 200u

/* Posts n requests of slab 0, every fourth a WRITE, into buffers; all must be accepted. */
static void post_flight(struct client *client, uint8_t (*buffers)[BLOCK], unsigned n)
{
	struct tp_request batch[FLIGHT];
	unsigned i;

	for (i = 0; i < n; i++) {
		batch[i] = (struct tp_request){
			.op = i % 4 == 3 ? TP_WRITE : TP_READ,
			.handle = client->handles[i % 4 == 3],
			.offset = i * (uint64_t)BLOCK,
			.local = buffers[i],
			.bytes = BLOCK,
			.cookie = i,
		};
	}
	CU_ASSERT_EQUAL_FATAL(tp_post(client->conn, batch, n), (int)n);
}

struct outcome {
	unsigned good, causes, cancelled; /* completions with 0, -ECONNRESET, -ECANCELED */
};

/* Collects n completions, each of which must be there once, with READs that were good holding 5. */
static struct outcome collect_flight(struct client *client, uint8_t (*buffers)[BLOCK], unsigned n)
{
	struct tp_completion done[FLIGHT + 1];
	unsigned char seen[FLIGHT] = {0};
	struct outcome outcome = {0};
	unsigned i, got;

	got = client_collect(client->conn, done, n, PATIENCE_MS);
	CU_ASSERT_EQUAL(got, n);
	for (i = 0; i < got; i++) {
		CU_ASSERT_FATAL(done[i].cookie < n);
		CU_ASSERT_EQUAL(seen[done[i].cookie]++, 0);
		outcome.good += done[i].status == 0;
		outcome.causes += done[i].status == -ECONNRESET;
		outcome.cancelled += done[i].status == -ECANCELED;
		if (done[i].status == 0 && done[i].cookie % 4 != 3)
			CU_ASSERT_EQUAL(buffers[done[i].cookie][BLOCK - 1], 5);
	}
	CU_ASSERT_EQUAL(outcome.good + outcome.causes + outcome.cancelled, n);
	CU_ASSERT_EQUAL(tp_poll(client->conn, done, 1), 0);
	return outcome;
}

static void check_ended(struct client *client, int cause)
{
	struct tp_request request = {.op = TP_READ, .bytes = 1};
	short events;
	int fd;

	CU_ASSERT_EQUAL(client_await_error(client->conn), cause);
	CU_ASSERT_EQUAL(tp_post(client->conn, &request, 1), cause);
	CU_ASSERT_EQUAL(tp_post(client->conn, &request, 1), cause);
	CU_ASSERT_EQUAL(tp_arm(client->conn, &fd, &events), cause);
}

/*
 * All answers are still owed when the donor dies: over tcp nothing can be good. Over shm all is,
 * and over verbs some may be, whose device has answered.
 */
static void kill_a_stopped_donor(uint8_t (*buffers)[BLOCK])
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	struct outcome outcome;
	struct client client;

	memset(donor_memory(donor, 0, 0), 5, DONOR_SLAB_BYTES);
	client_open(&client, donor, 0, 256);
	donor_signal(donor, SIGSTOP);
	post_flight(&client, buffers, FLIGHT);
	donor_signal(donor, SIGKILL);
	outcome = collect_flight(&client, buffers, FLIGHT);
	if (contract_variant->kind != TP_VERBS)
		CU_ASSERT_EQUAL(outcome.good, contract_is_shm() ? FLIGHT : 0);
	CU_ASSERT_EQUAL(outcome.causes, outcome.good == FLIGHT ? 0 : 1);
	check_ended(&client, -ECONNRESET);
	client_close(&client);
	donor_stop(donor);
}

/* Some answers are here, one may be half here. */
static void kill_a_working_donor(uint8_t (*buffers)[BLOCK], unsigned after_us)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	struct outcome outcome;
	struct client client;

	memset(donor_memory(donor, 0, 0), 5, DONOR_SLAB_BYTES);
	client_open(&client, donor, 0, 256);
	post_flight(&client, buffers, FLIGHT);
	usleep(after_us);
	donor_signal(donor, SIGKILL);
	outcome = collect_flight(&client, buffers, FLIGHT);
	CU_ASSERT_EQUAL(outcome.causes, outcome.good == FLIGHT ? 0 : 1);
	check_ended(&client, -ECONNRESET);
	client_close(&client);
	donor_stop(donor);
}

void a_killed_donor_completes_everything_once(void)
{
	static uint8_t buffers[FLIGHT][BLOCK] REGISTERED;
	unsigned i;

	kill_a_stopped_donor(buffers);
	for (i = 0; i < 12; i++)
		kill_a_working_donor(buffers, i * 40);
}

void the_first_failure_cancels_the_rest(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t buffers[7][BLOCK] REGISTERED;
	struct tp_request batch[7];
	struct tp_completion done[8];
	struct client client;
	unsigned i, accepted;
	int n;

	client_open(&client, donor, 0, 0);
	for (i = 0; i < 7; i++) {
		batch[i] = (struct tp_request){
			.op = TP_READ,
			.handle = client.handles[0],
			.offset = i == 3 ? DONOR_SLAB_BYTES : i * BLOCK,
			.local = buffers[i],
			.bytes = BLOCK,
			.cookie = i,
		};
	}
	n = tp_post(client.conn, batch, 7);
	CU_ASSERT_FATAL(n >= 4 && n <= 7);
	accepted = (unsigned)n;
	CU_ASSERT_EQUAL(client_collect(client.conn, done, accepted, PATIENCE_MS), accepted);
	for (i = 0; i < accepted; i++) {
		if (done[i].cookie == 3)
			CU_ASSERT_EQUAL(done[i].status, -EACCES);
		if (done[i].cookie > 3)
			CU_ASSERT_EQUAL(done[i].status, -ECANCELED);
		if (done[i].cookie < 3)
			CU_ASSERT(done[i].status == 0 || done[i].status == -ECANCELED);
	}
	check_ended(&client, -EACCES);
	client_close(&client);
	donor_stop(donor);
}

void an_idle_connection_notices_the_end(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	struct client client;

	client_open(&client, donor, 0, 0);
	CU_ASSERT_EQUAL(tp_error(client.conn), 0);
	donor_signal(donor, SIGKILL);
	check_ended(&client, -ECONNRESET);
	client_close(&client);
	donor_stop(donor);
}

void a_sleeper_notices_the_end(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	struct client client;
	struct pollfd pfd;

	client_open(&client, donor, 0, 0);
	CU_ASSERT_EQUAL(tp_arm(client.conn, &pfd.fd, &pfd.events), 0);
	CU_ASSERT_EQUAL(poll(&pfd, 1, 20), 0);
	donor_signal(donor, SIGKILL);
	CU_ASSERT_EQUAL(poll(&pfd, 1, PATIENCE_MS), 1);
	check_ended(&client, -ECONNRESET);
	client_close(&client);
	donor_stop(donor);
}

void disconnecting_in_mid_flight_is_allowed(void)
{
	static uint8_t buffers[FLIGHT][BLOCK] REGISTERED;
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct client other, client;
	static uint8_t byte REGISTERED = 7;
	unsigned i;

	client_open(&other, donor, 0, 0);
	for (i = 0; i < 20; i++) {
		client_open(&client, donor, 0, 256);
		post_flight(&client, buffers, FLIGHT);
		client_close(&client);
		/* The buffers are ours again: nothing may come into them any more. */
		memset(buffers, 0x77, sizeof(buffers));
		CU_ASSERT_EQUAL(client_do(&other, TP_WRITE, 3, 0, &byte, 1), 0);
		CU_ASSERT_EQUAL(buffers[0][0], 0x77);
		CU_ASSERT_EQUAL(memcmp(buffers[0], buffers[0] + 1, sizeof(buffers) - 1), 0);
	}
	client_close(&other);
	donor_stop(donor);
}

/* ---- taking back ---- */

struct writer {
	struct client *client;
	unsigned accepted, completed, unexpected;
	int error;
};

/* Writes into slab 0 without a pause until the connection ends. */
static void *write_on(void *arg)
{
	struct writer *writer = arg;
	struct tp_conn *conn = writer->client->conn;
	static uint8_t buffer[TP_MAX_BYTES] REGISTERED;
	struct tp_request request = {
		.op = TP_WRITE,
		.handle = writer->client->handles[0],
		.local = buffer,
		.bytes = TP_MAX_BYTES,
	};
	struct tp_completion done[64];

	for (;;) {
		int i, n = tp_post(conn, &request, 1);

		if (n > 0)
			writer->accepted++;
		if (n < 0 && writer->completed == writer->accepted)
			break;
		n = tp_poll(conn, done, ARRAY_LEN(done));
		for (i = 0; i < n; i++) {
			writer->completed++;
			writer->unexpected += done[i].status != 0 && done[i].status != -EACCES &&
					      done[i].status != -ECONNRESET &&
					      done[i].status != -ECANCELED;
		}
	}
	writer->error = tp_error(conn);
	return NULL;
}

void a_revoked_key_is_refused_in_mid_flight(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct client client;
	struct writer writer = {.client = &client};
	pthread_t thread;

	client_open(&client, donor, 0, 8);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, write_on, &writer), 0);
	usleep(30000);
	donor_revoke(donor, 0, 0);
	/* Over shm the client has it mapped: there only the end is promised. */
	if (!contract_is_shm())
		pattern_fill(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 8);
	pthread_join(thread, NULL);
	if (!contract_is_shm())
		CU_ASSERT(pattern_matches(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 8));
	CU_ASSERT(writer.accepted > 0);
	CU_ASSERT_EQUAL(writer.completed, writer.accepted);
	CU_ASSERT_EQUAL(writer.unexpected, 0);
	CU_ASSERT(writer.error == -ECONNRESET || writer.error == -EACCES);
	client_close(&client);
	donor_stop(donor);
}

void a_cut_ends_connections_and_spares_what_is_exported(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t byte REGISTERED;
	struct client client, next, other;
	struct writer writer = {.client = &client};
	pthread_t thread;

	client_open(&client, donor, 0, 8);
	client_open(&other, donor, 1, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, write_on, &writer), 0);
	usleep(30000);
	donor_cut(donor, 0);
	/* Over shm the client has it mapped, and may write until it notices. */
	if (contract_is_shm())
		pthread_join(thread, NULL);
	pattern_fill(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 8);
	if (!contract_is_shm())
		pthread_join(thread, NULL);
	CU_ASSERT(pattern_matches(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 8));
	CU_ASSERT(writer.accepted > 0);
	CU_ASSERT_EQUAL(writer.completed, writer.accepted);
	CU_ASSERT_EQUAL(writer.error, -ECONNRESET);
	client_open(&next, donor, 0, 0);
	CU_ASSERT_EQUAL(client_do(&next, TP_READ, 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(byte, donor_peek(donor, 0, 0));
	CU_ASSERT_EQUAL(client_do(&other, TP_READ, 0, 0, &byte, 1), 0);
	client_close(&other);
	client_close(&next);
	client_close(&client);
	donor_stop(donor);
}

void revoking_spares_what_is_not_revoked(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct client client;
	static uint8_t byte REGISTERED = 1;

	client_open(&client, donor, 0, 0);
	donor_revoke(donor, 1, 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, 0, &byte, 1), 0);
	tp_detach(client.conn, client.handles[3]);
	donor_revoke(donor, 0, 3);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(tp_error(client.conn), 0);
	client_close(&client);
	donor_stop(donor);
}

void a_returned_key_ends_nothing(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct client client;
	static uint8_t byte REGISTERED = 1;
	unsigned i;

	client_open(&client, donor, 0, 0);
	for (i = 1; i < DONOR_SLABS; i++) {
		tp_detach(client.conn, client.handles[i]);
		donor_revoke(donor, 0, i);
	}
	/* Long enough for an end to be noticed. */
	for (i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, i, &byte, 1), 0);
		usleep(1000);
	}
	client_close(&client);
	donor_stop(donor);
}

void closing_a_domain_ends_its_connections_only(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct client closed, spared;
	static uint8_t byte REGISTERED = 1;

	client_open(&closed, donor, 0, 0);
	client_open(&spared, donor, 1, 0);
	CU_ASSERT_EQUAL(donor_stats(donor).connections, 2);
	donor_close_domain(donor, 0);
	check_ended(&closed, -ECONNRESET);
	CU_ASSERT_EQUAL(client_do(&spared, TP_WRITE, 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(donor_stats(donor).connections, 1);
	client_close(&spared);
	client_close(&closed);
	donor_stop(donor);
}
