#include "tests/contract/contract.h"

#include "common/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define END DONOR_SLAB_BYTES

void an_unknown_token_is_refused(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct tp_target target = donor_target(donor, 0);
	struct tp *tp = contract_open(NULL);
	struct tp_conn *conn = NULL;

	target.token[TP_TOKEN_BYTES - 1] ^= 1;
	CU_ASSERT_EQUAL(tp_connect(tp, &target, &conn), -EACCES);
	CU_ASSERT_PTR_NULL(conn);
	CU_ASSERT_EQUAL(donor_stats(donor).refused, 1);
	tp_close(tp);
	donor_stop(donor);
}

/* What comes of reading one byte of a memory that is described so: at attach or at the request. */
static int try_remote(struct client *client, const struct tp_remote *remote, uint64_t offset,
		      enum tp_op op)
{
	static uint8_t bytes[BLOCK] REGISTERED;
	int err;

	err = tp_attach(client->conn, remote, &client->handles[0]);
	if (err)
		return err;
	return client_do(client, op, 0, offset, bytes, sizeof(bytes));
}

/* In a connection of its own, which the refusal may end. */
static int try_in_domain(struct donor *donor, unsigned domain, const struct tp_remote *remote,
			 uint64_t offset, enum tp_op op)
{
	struct client client;
	int err;

	client_open(&client, donor, domain, 0);
	err = try_remote(&client, remote, offset, op);
	client_close(&client);
	return err;
}

/* A key that the donor has given nobody. */
static void spoil_key(struct tp_remote *remote)
{
	remote->key += 1000000;
	remote->rkey ^= 0x5a5a00;
}

/* Over verbs the device refuses, and the donor learns of it when the connection ends. */
static bool refusals_become(struct donor *donor, uint64_t want)
{
	uint64_t deadline = clock_ns() + PATIENCE_MS * 1000000ull;

	while (donor_stats(donor).refused < want && clock_ns() < deadline)
		(void)poll(NULL, 0, 1);
	return donor_stats(donor).refused >= want;
}

void an_unknown_key_is_refused(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct tp_remote remote = donor_remote(donor, 0, 0);

	CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, 0, TP_READ), 0);
	spoil_key(&remote);
	CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, 0, TP_READ), -EACCES);
	CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, 0, TP_WRITE), -EACCES);
	CU_ASSERT(refusals_become(donor, 2));
	donor_stop(donor);
}

void a_key_of_another_domain_is_refused(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	const struct tp_remote remote = donor_remote(donor, 1, 2);

	CU_ASSERT_EQUAL(try_in_domain(donor, 1, &remote, 0, TP_WRITE), 0);
	CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, 0, TP_READ), -EACCES);
	CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, 0, TP_WRITE), -EACCES);
	donor_stop(donor);
}

void what_ends_at_the_boundary_is_allowed(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	static uint8_t buffer[TP_MAX_BYTES] REGISTERED;
	struct client client;

	client_open(&client, donor, 0, 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, 0, buffer, TP_MAX_BYTES), 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, END - 1, buffer, 1), 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, END - BLOCK, buffer, BLOCK), 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, END - TP_MAX_BYTES, buffer, TP_MAX_BYTES),
			0);
	client_close(&client);
	donor_stop(donor);
}

static int do_once(struct donor *donor, enum tp_op op, uint64_t offset, uint32_t bytes)
{
	static uint8_t buffer[TP_MAX_BYTES + 1] REGISTERED;
	struct client client;
	int err;

	client_open(&client, donor, 0, 0);
	err = client_do(&client, op, 1, offset, buffer, bytes);
	CU_ASSERT_EQUAL(tp_error(client.conn), err);
	client_close(&client);
	return err;
}

void what_crosses_the_boundary_is_refused(void)
{
	static const struct {
		uint64_t offset;
		uint32_t bytes;
	} wrong[] = {
		{END, 1},
		{END - 1, 2},
		{END - BLOCK + 1, BLOCK},
		{END - TP_MAX_BYTES + 1, TP_MAX_BYTES},
		{END + 1, BLOCK},
		{UINT64_MAX, 1},
		{UINT64_MAX - BLOCK + 1, BLOCK},
		{UINT64_MAX - BLOCK + 2, BLOCK},
		{(uint64_t)1 << 63, BLOCK},
	};
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	unsigned i;

	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		CU_ASSERT_EQUAL(do_once(donor, TP_READ, wrong[i].offset, wrong[i].bytes), -EACCES);
		CU_ASSERT_EQUAL(do_once(donor, TP_WRITE, wrong[i].offset, wrong[i].bytes), -EACCES);
	}
	donor_stop(donor);
}

void the_donor_checks_what_the_client_believes(void)
{
	static const uint64_t offsets[] = {
		END, END - 1, END - BLOCK + 1, 3 * END, UINT64_MAX - BLOCK, (uint64_t)1 << 63,
	};
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct tp_remote remote = donor_remote(donor, 0, 0);
	unsigned i;

	remote.bytes = UINT64_MAX;
	for (i = 0; i < ARRAY_LEN(offsets); i++) {
		CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, offsets[i], TP_READ), -EACCES);
		CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, offsets[i], TP_WRITE), -EACCES);
	}
	donor_stop(donor);
}

void sizes_out_of_range_are_refused(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);

	CU_ASSERT_EQUAL(do_once(donor, TP_READ, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(do_once(donor, TP_WRITE, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(do_once(donor, TP_READ, 0, TP_MAX_BYTES + 1), -EINVAL);
	CU_ASSERT_EQUAL(do_once(donor, TP_WRITE, 0, UINT32_MAX), -EINVAL);
	CU_ASSERT_EQUAL(do_once(donor, TP_READ, 0, TP_MAX_BYTES), 0);
	donor_stop(donor);
}

static int do_with_handle(struct donor *donor, uint32_t handle)
{
	struct client client;
	static uint8_t byte REGISTERED;
	int err;

	client_open(&client, donor, 0, 0);
	client.handles[0] = handle;
	err = client_do(&client, TP_READ, 0, 0, &byte, 1);
	client_close(&client);
	return err;
}

void a_handle_that_is_not_attached_is_refused(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);

	CU_ASSERT_EQUAL(do_with_handle(donor, DONOR_SLABS), -EACCES);
	CU_ASSERT_EQUAL(do_with_handle(donor, TP_MAX_REMOTES - 1), -EACCES);
	CU_ASSERT_EQUAL(do_with_handle(donor, TP_MAX_REMOTES), -EACCES);
	CU_ASSERT_EQUAL(do_with_handle(donor, UINT32_MAX), -EACCES);
	donor_stop(donor);
}

void a_refused_write_changes_nothing(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct tp_remote remote = donor_remote(donor, 0, 0);
	unsigned slab;

	for (slab = 0; slab < DONOR_SLABS; slab++)
		pattern_fill(donor_memory(donor, 0, slab), END, slab);
	CU_ASSERT_EQUAL(do_once(donor, TP_WRITE, END - 1, 2), -EACCES);
	remote.bytes = 2 * END;
	CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, END - 1, TP_WRITE), -EACCES);
	spoil_key(&remote);
	CU_ASSERT_EQUAL(try_in_domain(donor, 0, &remote, 0, TP_WRITE), -EACCES);
	for (slab = 0; slab < DONOR_SLABS; slab++)
		CU_ASSERT(pattern_matches(donor_memory(donor, 0, slab), END, slab));
	donor_stop(donor);
}

/* ---- attaching ---- */

/* The kernel's limit on mappings comes first over shm. */
static uint32_t most_handles(void)
{
	return contract_is_shm() ? 600 : TP_MAX_REMOTES;
}

void handles_can_be_detached_and_used_again(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	const struct tp_remote remote = donor_remote(donor, 0, 1);
	uint32_t i, handle = 0, most = most_handles();
	struct client client;
	static uint8_t byte REGISTERED;

	client_open(&client, donor, 0, 0);
	for (i = DONOR_SLABS; i < most; i++)
		CU_ASSERT_EQUAL(tp_attach(client.conn, &remote, &handle), 0);
	if (most == TP_MAX_REMOTES)
		CU_ASSERT_EQUAL(tp_attach(client.conn, &remote, &client.handles[2]), -ENOSPC);
	client.handles[1] = handle;
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 1, 0, &byte, 1), 0);
	tp_detach(client.conn, handle);
	tp_detach(client.conn, handle);
	CU_ASSERT_EQUAL(tp_attach(client.conn, &remote, &client.handles[1]), 0);
	CU_ASSERT_EQUAL(client.handles[1], handle);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 1, 0, &byte, 1), 0);
	tp_detach(client.conn, client.handles[1]);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 1, 0, &byte, 1), -EACCES);
	client_close(&client);
	donor_stop(donor);
}

struct attaching {
	struct donor *donor;
	struct tp_conn *conn;
	_Atomic bool stop;
	unsigned failures, rounds;
};

static void *attach_and_detach(void *arg)
{
	struct attaching *attaching = arg;
	const struct tp_remote remote = donor_remote(attaching->donor, 0, 3);
	uint32_t handle;

	while (!atomic_load(&attaching->stop) || attaching->rounds < 300) {
		if (tp_attach(attaching->conn, &remote, &handle) < 0)
			attaching->failures++;
		else
			tp_detach(attaching->conn, handle);
		attaching->rounds++;
	}
	return NULL;
}

void attaching_goes_on_beside_requests(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct attaching attaching = {.donor = donor};
	static uint8_t out[BLOCK] REGISTERED, in[BLOCK] REGISTERED;
	struct client client;
	pthread_t thread;
	unsigned i;

	client_open(&client, donor, 0, 0);
	attaching.conn = client.conn;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, attach_and_detach, &attaching), 0);
	for (i = 0; i < 1000; i++) {
		pattern_fill(out, BLOCK, i);
		CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, i % 3, 0, out, BLOCK), 0);
		CU_ASSERT_EQUAL(client_do(&client, TP_READ, i % 3, 0, in, BLOCK), 0);
		CU_ASSERT(pattern_matches(in, BLOCK, i));
	}
	atomic_store(&attaching.stop, true);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(attaching.failures, 0);
	client_close(&client);
	donor_stop(donor);
}
