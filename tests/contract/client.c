#include "tests/contract/contract.h"

#include "common/base/clock.h"
#include "common/transport/flaky.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct variant *contract_variant;

/* The linker's names for where the section begins and ends. */
extern uint8_t __start_contract_buffers[], __stop_contract_buffers[];

static NORETURN void give_up(const char *what, int err)
{
	fprintf(stderr, "contract client: %s: %s\n", what, strerror(-err));
	abort();
}

const char *contract_no_verbs(void)
{
	if (donor_rdma_host())
		return NULL;
	return *tp_why() ? tp_why() : "no address belongs to an RDMA device";
}

struct tp *contract_open(const struct tp_options *options)
{
	static const struct tp_flaky_options no_faults;
	struct tp *tp;
	int err;

	err = tp_open(contract_variant->kind, options, &tp);
	if (!err && contract_variant->flaky)
		err = tp_flaky_wrap(tp, &no_faults, &tp);
	if (err)
		give_up("open", err);
	err = tp_register(tp, __start_contract_buffers,
			  (uintptr_t)__stop_contract_buffers - (uintptr_t)__start_contract_buffers);
	if (err)
		give_up("register", err);
	return tp;
}

void client_open(struct client *client, const struct donor *donor, unsigned domain, unsigned depth)
{
	const struct tp_options options = {.depth = depth, .connect_timeout_ms = PATIENCE_MS};
	const struct tp_target target = donor_target(donor, domain);
	unsigned i;
	int err;

	client->tp = contract_open(&options);
	err = tp_connect(client->tp, &target, &client->conn);
	if (err)
		give_up("connect", err);
	for (i = 0; i < DONOR_SLABS; i++) {
		const struct tp_remote remote = donor_remote(donor, domain, i);

		err = tp_attach(client->conn, &remote, &client->handles[i]);
		if (err)
			give_up("attach", err);
	}
}

void client_close(struct client *client)
{
	tp_disconnect(client->conn);
	tp_close(client->tp);
}

/* Until there may be something to poll; at most 100 ms. */
static void nap(struct tp_conn *conn)
{
	struct pollfd pfd;

	if (tp_arm(conn, &pfd.fd, &pfd.events) == 0)
		(void)poll(&pfd, 1, 100);
}

unsigned client_collect(struct tp_conn *conn, struct tp_completion *out, unsigned want,
			unsigned timeout_ms)
{
	uint64_t deadline = clock_ns() + timeout_ms * 1000000ull;
	unsigned got = 0;

	while (got < want && clock_ns() < deadline) {
		int n = tp_poll(conn, out + got, want - got);

		if (n < 0)
			give_up("poll", n);
		if (n == 0)
			nap(conn);
		got += (unsigned)n;
	}
	return got;
}

int client_do(struct client *client, enum tp_op op, unsigned slab, uint64_t offset, void *local,
	      uint32_t bytes)
{
	const struct tp_request request = {
		.op = op,
		.handle = client->handles[slab],
		.offset = offset,
		.local = local,
		.bytes = bytes,
		.cookie = 42,
	};
	struct tp_completion done;
	int n;

	n = tp_post(client->conn, &request, 1);
	if (n < 0)
		return n;
	if (n == 0)
		return -EAGAIN;
	if (client_collect(client->conn, &done, 1, PATIENCE_MS) != 1)
		return -ETIME;
	CU_ASSERT_EQUAL(done.cookie, 42);
	return done.status;
}

int client_await_error(struct tp_conn *conn)
{
	uint64_t deadline = clock_ns() + PATIENCE_MS * 1000000ull;
	struct tp_completion done;

	while (!tp_error(conn) && clock_ns() < deadline) {
		CU_ASSERT_EQUAL(tp_poll(conn, &done, 1), 0);
		(void)poll(NULL, 0, 1);
	}
	return tp_error(conn);
}

/* splitmix64: neighbouring positions share nothing. */
static uint64_t word_of(uint64_t seed, uint64_t at)
{
	uint64_t x = seed + (at + 1) * 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

void pattern_fill(void *to, size_t bytes, uint64_t seed)
{
	uint8_t *at = to;
	size_t i;

	for (i = 0; i < bytes; i += 8) {
		uint64_t word = word_of(seed, i);

		memcpy(at + i, &word, bytes - i < 8 ? bytes - i : 8);
	}
}

bool pattern_matches(const void *from, size_t bytes, uint64_t seed)
{
	const uint8_t *at = from;
	size_t i;

	for (i = 0; i < bytes; i += 8) {
		uint64_t word = word_of(seed, i);

		if (memcmp(at + i, &word, bytes - i < 8 ? bytes - i : 8) != 0)
			return false;
	}
	return true;
}
