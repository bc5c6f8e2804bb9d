/* That the wrapper does to a transport what it was asked to, and keeps the contract meanwhile. */
#include "tests/contract/contract.h"

#include "common/base/clock.h"
#include "common/transport/flaky.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512u
#define N 40u

static const struct variant shm = {"shm", TP_SHM, false};

/* A connection over shm below a wrapper, or two: the outer one has no faults then. */
struct rig {
	struct donor *donor;
	struct tp *tp;
	struct tp_conn *conn;
	uint32_t handle;
	uint8_t buffers[N][BLOCK];
};

static int rig_connect(struct rig *rig)
{
	const struct tp_target target = donor_target(rig->donor, 0);
	const struct tp_remote remote = donor_remote(rig->donor, 0, 0);
	int err;

	err = tp_connect(rig->tp, &target, &rig->conn);
	return err ? err : tp_attach(rig->conn, &remote, &rig->handle);
}

static struct rig *rig_open(const struct tp_flaky_options *options, unsigned wrappers)
{
	static const struct tp_flaky_options no_faults;
	struct rig *rig = calloc(1, sizeof(*rig));

	contract_variant = &shm;
	rig->donor = donor_start(TP_SHM, DONOR_THREAD);
	pattern_fill(donor_memory(rig->donor, 0, 0), N * BLOCK, 1);
	CU_ASSERT_EQUAL_FATAL(tp_open(TP_SHM, NULL, &rig->tp), 0);
	CU_ASSERT_EQUAL_FATAL(tp_flaky_wrap(rig->tp, options, &rig->tp), 0);
	for (; wrappers > 1; wrappers--)
		CU_ASSERT_EQUAL_FATAL(tp_flaky_wrap(rig->tp, &no_faults, &rig->tp), 0);
	return rig;
}

static void rig_close(struct rig *rig)
{
	tp_disconnect(rig->conn);
	tp_close(rig->tp);
	donor_stop(rig->donor);
	free(rig);
}

/* Posts READs from number `first` on, as one call; returns what tp_post() says. */
static int post_from(struct rig *rig, unsigned first)
{
	struct tp_request batch[N];
	unsigned i;

	for (i = first; i < N; i++) {
		batch[i] = (struct tp_request){
			.op = TP_READ,
			.handle = rig->handle,
			.offset = i * BLOCK,
			.local = rig->buffers[i],
			.bytes = BLOCK,
			.cookie = i,
		};
	}
	return tp_post(rig->conn, batch + first, N - first);
}

static void a_failing_request_cancels_what_is_in_flight(void)
{
	const struct tp_flaky_options options = {.fail_at = 5, .fail_status = -ENOTRECOVERABLE};
	unsigned wrappers, i;

	for (wrappers = 1; wrappers <= 3; wrappers++) {
		struct rig *rig = rig_open(&options, wrappers);
		struct tp_completion done[N];

		CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
		CU_ASSERT_EQUAL(post_from(rig, 0), 5);
		CU_ASSERT_EQUAL(client_collect(rig->conn, done, 5, PATIENCE_MS), 5);
		for (i = 0; i < 5; i++)
			CU_ASSERT_EQUAL(done[i].status,
					done[i].cookie == 4 ? -ENOTRECOVERABLE : -ECANCELED);
		CU_ASSERT_EQUAL(tp_poll(rig->conn, done, N), 0);
		CU_ASSERT_EQUAL(tp_error(rig->conn), -ENOTRECOVERABLE);
		CU_ASSERT_EQUAL(post_from(rig, 5), -ENOTRECOVERABLE);
		rig_close(rig);
	}
}

static void what_completed_before_a_failure_stays_good(void)
{
	const struct tp_flaky_options options = {.drop_at = N + 3};
	struct rig *rig = rig_open(&options, 1);
	struct tp_completion done[N];
	unsigned i;

	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	CU_ASSERT_EQUAL(post_from(rig, 0), (int)N);
	CU_ASSERT_EQUAL(client_collect(rig->conn, done, N, PATIENCE_MS), N);
	for (i = 0; i < N; i++)
		CU_ASSERT_EQUAL(done[i].status, 0);
	CU_ASSERT_EQUAL(post_from(rig, 0), 3);
	CU_ASSERT_EQUAL(client_collect(rig->conn, done, 3, PATIENCE_MS), 3);
	CU_ASSERT_EQUAL(tp_error(rig->conn), -ECONNRESET);
	tp_disconnect(rig->conn);
	/* The next connection is a good one: the count goes on. */
	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	CU_ASSERT_EQUAL(post_from(rig, 0), (int)N);
	CU_ASSERT_EQUAL(client_collect(rig->conn, done, N, PATIENCE_MS), N);
	CU_ASSERT_EQUAL(tp_error(rig->conn), 0);
	rig_close(rig);
}

static void completions_are_held_back(void)
{
	const struct tp_flaky_options options = {.delay_us = 30000};
	struct rig *rig = rig_open(&options, 1);
	struct tp_completion done[N];
	uint64_t begin;

	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	begin = clock_ns();
	CU_ASSERT_EQUAL(post_from(rig, 0), (int)N);
	CU_ASSERT_EQUAL(tp_poll(rig->conn, done, N), 0);
	CU_ASSERT_EQUAL(client_collect(rig->conn, done, N, PATIENCE_MS), N);
	CU_ASSERT(clock_ns() - begin >= 30000000);
	rig_close(rig);
}

static void completions_leave_in_another_order(void)
{
	const struct tp_flaky_options options = {.reorder = true, .seed = 9};
	struct rig *rig = rig_open(&options, 1);
	struct tp_completion done[N];
	unsigned char seen[N] = {0};
	unsigned i, inversions = 0;

	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	CU_ASSERT_EQUAL(post_from(rig, 0), (int)N);
	for (i = 0; i < N; i++) {
		CU_ASSERT_EQUAL_FATAL(client_collect(rig->conn, &done[i], 1, PATIENCE_MS), 1);
		CU_ASSERT_EQUAL(done[i].status, 0);
		seen[done[i].cookie]++;
		inversions += i > 0 && done[i].cookie < done[i - 1].cookie;
	}
	for (i = 0; i < N; i++)
		CU_ASSERT_EQUAL(seen[i], 1);
	CU_ASSERT(inversions > 3);
	CU_ASSERT(pattern_matches(rig->buffers, sizeof(rig->buffers), 1));
	rig_close(rig);
}

static void posts_take_less_than_they_could(void)
{
	const struct tp_flaky_options options = {.full_every = 3, .most_a_post = 7};
	struct rig *rig = rig_open(&options, 2);
	struct tp_completion done[N];

	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	/* The outer wrapper posts one by one: the inner one is full at its third. */
	CU_ASSERT_EQUAL(post_from(rig, 0), 2);
	CU_ASSERT_EQUAL(client_collect(rig->conn, done, 2, PATIENCE_MS), 2);
	rig_close(rig);
	rig = rig_open(&options, 1);
	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	CU_ASSERT_EQUAL(post_from(rig, 0), 7);
	CU_ASSERT_EQUAL(post_from(rig, 7), 7);
	CU_ASSERT_EQUAL(post_from(rig, 14), 0);
	CU_ASSERT_EQUAL(client_collect(rig->conn, done, 14, PATIENCE_MS), 14);
	rig_close(rig);
}

static void a_connection_can_be_refused(void)
{
	const struct tp_flaky_options options = {.refuse_at = 2};
	struct rig *rig = rig_open(&options, 1);
	struct tp_conn *first;

	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	first = rig->conn;
	CU_ASSERT_EQUAL(rig_connect(rig), -ECONNREFUSED);
	CU_ASSERT_EQUAL_FATAL(rig_connect(rig), 0);
	tp_disconnect(first);
	rig_close(rig);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_failing_request_cancels_what_is_in_flight),
		SUITE_TEST(what_completed_before_a_failure_stays_good),
		SUITE_TEST(completions_are_held_back),
		SUITE_TEST(completions_leave_in_another_order),
		SUITE_TEST(posts_take_less_than_they_could),
		SUITE_TEST(a_connection_can_be_refused),
		SUITE_END,
	};

	return suite_run("flaky wrapper", tests);
}
