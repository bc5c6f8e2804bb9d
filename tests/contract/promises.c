#include "tests/contract/contract.h"
#include "tests/contract/mallocs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u

static struct tp_request request_of(const struct client *client, enum tp_op op, unsigned slab,
				    uint64_t offset, void *local, uint32_t bytes, uint64_t cookie)
{
	return (struct tp_request){
		.op = op,
		.handle = client->handles[slab],
		.offset = offset,
		.local = local,
		.bytes = bytes,
		.cookie = cookie,
	};
}

void what_is_written_is_read(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct client client;
	static uint8_t out[BLOCK] REGISTERED, in[BLOCK] REGISTERED;
	unsigned slab;

	client_open(&client, donor, 0, 0);
	for (slab = 0; slab < DONOR_SLABS; slab++) {
		uint64_t offset = slab * BLOCK;

		pattern_fill(out, BLOCK, slab);
		memset(in, 0, BLOCK);
		CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, slab, offset, out, BLOCK), 0);
		CU_ASSERT_EQUAL(client_do(&client, TP_READ, slab, offset, in, BLOCK), 0);
		CU_ASSERT(pattern_matches(in, BLOCK, slab));
		CU_ASSERT(pattern_matches(donor_memory(donor, 0, slab) + offset, BLOCK, slab));
	}
	client_close(&client);
	donor_stop(donor);
}

/* One size, odd addresses on both sides, and nothing touched beside them. */
static void check_size(struct client *client, uint32_t bytes, uint8_t *buffer)
{
	uint64_t offset = 1 + bytes % 7;
	uint8_t *local = buffer + 64 + bytes % 13;

	pattern_fill(local, bytes, bytes);
	CU_ASSERT_EQUAL(client_do(client, TP_WRITE, 2, offset, local, bytes), 0);
	memset(buffer, 0x5a, TP_MAX_BYTES + 256);
	CU_ASSERT_EQUAL(client_do(client, TP_READ, 2, offset, local, bytes), 0);
	CU_ASSERT(pattern_matches(local, bytes, bytes));
	CU_ASSERT_EQUAL(local[-1], 0x5a);
	CU_ASSERT_EQUAL(local[bytes], 0x5a);
}

void every_size_and_alignment_goes_through(void)
{
	static const uint32_t sizes[] = {511,	      512,  513,   4095,  4096,
					 4097,	      8192, 16383, 16385, TP_MAX_BYTES - 1,
					 TP_MAX_BYTES};
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t buffer[TP_MAX_BYTES + 256] REGISTERED;
	struct client client;
	uint32_t i;

	client_open(&client, donor, 0, 0);
	for (i = 1; i <= 64; i++)
		check_size(&client, i, buffer);
	for (i = 0; i < ARRAY_LEN(sizes); i++)
		check_size(&client, sizes[i], buffer);
	client_close(&client);
	donor_stop(donor);
}

#define MANY 3000u
#define MANY_DEPTH 64u

/* Posts as many as are accepted, from *posted on. */
static void post_some(struct client *client, uint8_t (*buffers)[BLOCK], unsigned *posted)
{
	struct tp_request batch[MANY_DEPTH];
	unsigned i, n = MANY - *posted < MANY_DEPTH ? MANY - *posted : MANY_DEPTH;
	int accepted;

	for (i = 0; i < n; i++) {
		unsigned at = *posted + i;

		batch[i] = request_of(client, at % 3 ? TP_READ : TP_WRITE, at % DONOR_SLABS,
				      (at % 256) * (uint64_t)BLOCK, buffers[at % MANY_DEPTH],
				      1 + at % BLOCK, at);
	}
	accepted = tp_post(client->conn, batch, n);
	CU_ASSERT(accepted >= 0 && accepted <= (int)n);
	if (accepted > 0)
		*posted += (unsigned)accepted;
}

void every_request_completes_exactly_once(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t buffers[MANY_DEPTH][BLOCK] REGISTERED;
	static unsigned char seen[MANY];
	struct tp_completion done[7];
	unsigned posted = 0, completed = 0, i, n;
	struct client client;

	memset(seen, 0, sizeof(seen));
	client_open(&client, donor, 0, MANY_DEPTH);
	while (completed < MANY) {
		post_some(&client, buffers, &posted);
		n = client_collect(client.conn, done, 1, PATIENCE_MS);
		if (n == 0)
			break;
		for (i = 0; i < n; i++) {
			CU_ASSERT_EQUAL(done[i].status, 0);
			CU_ASSERT_FATAL(done[i].cookie < posted);
			seen[done[i].cookie]++;
		}
		completed += n;
	}
	CU_ASSERT_EQUAL(completed, MANY);
	for (i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(seen[i], 1);
	CU_ASSERT_EQUAL(tp_poll(client.conn, done, ARRAY_LEN(done)), 0);
	client_close(&client);
	donor_stop(donor);
}

#define SMALL_DEPTH 13u /* no power of two: rings must not round it up */

void a_full_queue_accepts_a_prefix(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	static uint8_t buffers[40][BLOCK] REGISTERED;
	struct tp_request batch[40];
	struct tp_completion done[40];
	unsigned char seen[SMALL_DEPTH] = {0};
	struct client client;
	unsigned i;

	client_open(&client, donor, 0, SMALL_DEPTH);
	pattern_fill(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 77);
	donor_signal(donor, SIGSTOP);
	for (i = 0; i < ARRAY_LEN(batch); i++)
		batch[i] = request_of(&client, TP_READ, 0, 0, buffers[i], BLOCK, i);
	memset(buffers, 0, sizeof(buffers));
	CU_ASSERT_EQUAL(tp_post(client.conn, batch, ARRAY_LEN(batch)), (int)SMALL_DEPTH);
	CU_ASSERT_EQUAL(tp_post(client.conn, batch, ARRAY_LEN(batch)), 0);
	CU_ASSERT_EQUAL(tp_post(client.conn, batch, 0), 0);
	donor_signal(donor, SIGCONT);
	CU_ASSERT_EQUAL(client_collect(client.conn, done, SMALL_DEPTH, PATIENCE_MS), SMALL_DEPTH);
	for (i = 0; i < SMALL_DEPTH; i++) {
		CU_ASSERT_FATAL(done[i].cookie < SMALL_DEPTH);
		CU_ASSERT_EQUAL(done[i].status, 0);
		CU_ASSERT_EQUAL(seen[done[i].cookie]++, 0);
		CU_ASSERT(pattern_matches(buffers[i], BLOCK, 77));
	}
	for (; i < ARRAY_LEN(batch); i++)
		CU_ASSERT_EQUAL(buffers[i][0], 0);
	CU_ASSERT_EQUAL(tp_post(client.conn, batch, 1), 1);
	client_close(&client);
	donor_stop(donor);
}

/* 64 MiB, which no socket buffer holds. A post that waited would wait for ever (donor_start()). */
void posting_never_blocks_when_the_peer_does_not_read(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	static uint8_t buffer[TP_MAX_BYTES] REGISTERED;
	struct tp_completion done[256];
	unsigned i, accepted = 0;
	struct client client;

	pattern_fill(buffer, TP_MAX_BYTES, 3);
	client_open(&client, donor, 0, 256);
	donor_signal(donor, SIGSTOP);
	for (i = 0; i < 256; i++) {
		struct tp_request request =
			request_of(&client, TP_WRITE, i % 4, 0, buffer, TP_MAX_BYTES, i);
		int n = tp_post(client.conn, &request, 1);

		CU_ASSERT(n == 0 || n == 1);
		accepted += n == 1;
	}
	CU_ASSERT_EQUAL(accepted, 256);
	/* Over the others it has no part in it, and may be as stopped as it likes. */
	if (contract_variant->kind == TP_TCP)
		CU_ASSERT_EQUAL(tp_poll(client.conn, done, 256), 0);
	donor_signal(donor, SIGCONT);
	CU_ASSERT_EQUAL(client_collect(client.conn, done, accepted, PATIENCE_MS), accepted);
	for (i = 0; i < accepted; i++)
		CU_ASSERT_EQUAL(done[i].status, 0);
	for (i = 0; i < DONOR_SLABS; i++)
		CU_ASSERT(pattern_matches(donor_memory(donor, 0, i), TP_MAX_BYTES, 3));
	client_close(&client);
	donor_stop(donor);
}

void a_completed_write_is_seen_on_every_connection(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t out[BLOCK] REGISTERED, in[BLOCK] REGISTERED;
	struct client one, other;
	unsigned i;

	client_open(&one, donor, 1, 0);
	client_open(&other, donor, 1, 0);
	for (i = 0; i < 200; i++) {
		pattern_fill(out, BLOCK, i);
		CU_ASSERT_EQUAL(client_do(&one, TP_WRITE, 3, 123, out, BLOCK), 0);
		CU_ASSERT_EQUAL(client_do(&other, TP_READ, 3, 123, in, BLOCK), 0);
		CU_ASSERT(pattern_matches(in, BLOCK, i));
	}
	client_close(&other);
	client_close(&one);
	donor_stop(donor);
}

void a_local_buffer_is_left_alone_after_completion(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t out[BLOCK] REGISTERED, in[BLOCK] REGISTERED, other[BLOCK] REGISTERED;
	struct client client;
	unsigned i;

	client_open(&client, donor, 0, 0);
	for (i = 0; i < 50; i++) {
		pattern_fill(out, BLOCK, i);
		CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, 0, out, BLOCK), 0);
		memset(out, 0xee, BLOCK);
		CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, in, BLOCK), 0);
		CU_ASSERT(pattern_matches(in, BLOCK, i));
		memset(in, 0x11, BLOCK);
		CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, other, BLOCK), 0);
		CU_ASSERT_EQUAL(in[0], 0x11);
		CU_ASSERT_EQUAL(memcmp(in, in + 1, BLOCK - 1), 0);
		CU_ASSERT(pattern_matches(other, BLOCK, i));
	}
	client_close(&client);
	donor_stop(donor);
}

/* ---- the fault path ---- */

static unsigned long allocations;

static void *counting_alloc(void *arg UNUSED, size_t bytes)
{
	allocations++;
	return calloc(1, bytes);
}

static void counting_free(void *arg UNUSED, void *ptr, size_t bytes UNUSED)
{
	free(ptr);
}

void nothing_is_allocated_after_connecting(void)
{
	const struct tp_options options = {.alloc = counting_alloc, .free = counting_free};
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	const struct tp_target target = donor_target(donor, 0);
	const struct tp_remote remote = donor_remote(donor, 0, 0);
	unsigned long mallocs, before;
	static uint8_t buffer[BLOCK] REGISTERED;
	struct client client;
	unsigned i;

	allocations = 0;
	mallocs = mallocs_of_this_thread();
	client.tp = contract_open(&options);
	CU_ASSERT_EQUAL_FATAL(tp_connect(client.tp, &target, &client.conn), 0);
	CU_ASSERT_EQUAL_FATAL(tp_attach(client.conn, &remote, &client.handles[0]), 0);
	CU_ASSERT(allocations > 0);
	/* The other way round: all it has comes from the allocator it was given. */
	CU_ASSERT_EQUAL(mallocs_of_this_thread() - mallocs, allocations);
	before = allocations;
	mallocs = mallocs_of_this_thread();
	for (i = 0; i < 1000; i++)
		(void)client_do(&client, i % 2 ? TP_READ : TP_WRITE, 0, 0, buffer, 1 + i % BLOCK);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, DONOR_SLAB_BYTES, buffer, 1), -EACCES);
	CU_ASSERT_EQUAL(allocations, before);
	CU_ASSERT_EQUAL(mallocs_of_this_thread(), mallocs);
	client_close(&client);
	donor_stop(donor);
}

/* Arms, sleeps, is not woken by nothing, is woken by the answer. */
static void sleep_for_answer(struct donor *donor, struct client *client)
{
	struct tp_completion done;
	struct pollfd pfd;

	CU_ASSERT_EQUAL(tp_poll(client->conn, &done, 1), 0);
	CU_ASSERT_EQUAL(tp_arm(client->conn, &pfd.fd, &pfd.events), 0);
	CU_ASSERT_EQUAL(poll(&pfd, 1, 50), 0);
	donor_signal(donor, SIGCONT);
	CU_ASSERT_EQUAL(poll(&pfd, 1, PATIENCE_MS), 1);
	CU_ASSERT_EQUAL(client_collect(client->conn, &done, 1, PATIENCE_MS), 1);
	CU_ASSERT_EQUAL(done.status, 0);
}

/* A wake-up may come late, for what was polled meanwhile, but not again and again. */
static bool sleeps_undisturbed(struct tp_conn *conn)
{
	struct tp_completion done;
	struct pollfd pfd;
	unsigned i;

	for (i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(tp_arm(conn, &pfd.fd, &pfd.events), 0);
		if (poll(&pfd, 1, 20) == 0)
			return true;
		CU_ASSERT_EQUAL(tp_poll(conn, &done, 1), 0);
	}
	return false;
}

void a_sleeper_is_woken(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	struct tp_completion done;
	struct tp_request request;
	static uint8_t buffer[BLOCK] REGISTERED;
	struct client client;
	struct pollfd pfd;

	client_open(&client, donor, 0, 0);
	request = request_of(&client, TP_READ, 0, 0, buffer, BLOCK, 9);
	donor_signal(donor, SIGSTOP);
	CU_ASSERT_EQUAL(tp_post(client.conn, &request, 1), 1);
	if (contract_variant->kind == TP_SHM)
		CU_ASSERT_EQUAL(tp_arm(client.conn, &pfd.fd, &pfd.events), -EAGAIN);
	if (contract_variant->kind == TP_TCP)
		sleep_for_answer(donor, &client);
	else
		CU_ASSERT_EQUAL(client_collect(client.conn, &done, 1, PATIENCE_MS), 1);
	CU_ASSERT(sleeps_undisturbed(client.conn));
	client_close(&client);
	donor_stop(donor);
}

/* Whoever arms and is told to sleep is woken, whenever the answer comes. */
void no_wake_up_is_lost(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t buffer[BLOCK] REGISTERED;
	struct tp_completion done;
	struct client client;
	struct pollfd pfd;
	unsigned i, lost = 0;

	client_open(&client, donor, 0, 0);
	for (i = 0; i < 1000; i++) {
		struct tp_request request =
			request_of(&client, TP_READ, 0, 0, buffer, 1 + i % BLOCK, i);

		CU_ASSERT_EQUAL_FATAL(tp_post(client.conn, &request, 1), 1);
		while (tp_poll(client.conn, &done, 1) == 0) {
			if (tp_arm(client.conn, &pfd.fd, &pfd.events) == 0)
				lost += poll(&pfd, 1, 1000) != 1;
		}
		CU_ASSERT_EQUAL(done.status, 0);
	}
	CU_ASSERT_EQUAL(lost, 0);
	client_close(&client);
	donor_stop(donor);
}

/* It may watch the wire for a while after a request, but not for ever. */
void a_donor_at_rest_uses_no_cpu(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct client client;
	static uint8_t byte REGISTERED;
	uint64_t before;
	unsigned i;

	client_open(&client, donor, 0, 0);
	for (i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, i, &byte, 1), 0);
	(void)poll(NULL, 0, 50);
	before = donor_cpu_ns(donor);
	(void)poll(NULL, 0, 200);
	CU_ASSERT(donor_cpu_ns(donor) - before < 10000000);
	/* And it wakes up again. */
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, &byte, 1), 0);
	client_close(&client);
	donor_stop(donor);
}
