/*
 * What strangers and broken clients get from a server before they are anybody, and over shm:
 * nothing that is not theirs, no memory, no descriptor that stays, and no time that others need.
 */
#include "tests/contract/hostile.h"

#include "common/base/clock.h"
#include "common/transport/dial.h"
#include "common/transport/shm_frame.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- hello ---- */

static void hello_bytes(const struct donor *donor, uint8_t bytes[FRAME_HELLO_BYTES])
{
	struct frame_hello hello = {.version = FRAME_VERSION};
	const struct tp_target target = donor_target(donor, 0);

	memcpy(hello.token, target.token, TP_TOKEN_BYTES);
	frame_hello_encode(hostile_magic(), &hello, bytes);
}

static void a_hello_may_come_in_pieces(void)
{
	const struct variant *const variants[] = {&hostile_shm, &hostile_tcp};
	uint8_t hello[FRAME_HELLO_BYTES], welcome[FRAME_WELCOME_BYTES];
	unsigned i, at;

	for (i = 0; i < ARRAY_LEN(variants); i++) {
		struct donor *donor = hostile_donor(variants[i]);
		int fd = donor_dial(donor);

		hello_bytes(donor, hello);
		for (at = 0; at < sizeof(hello); at++) {
			CU_ASSERT_EQUAL(dial_send(fd, hello + at, 1, hostile_soon()), 0);
			usleep(500);
		}
		CU_ASSERT_EQUAL(dial_receive(fd, welcome, sizeof(welcome), hostile_soon()), 0);
		CU_ASSERT_EQUAL(frame_welcome_decode(hostile_magic(), welcome), 0);
		close(fd);
		donor_stop(donor);
	}
}

/* A hello with one byte changed, and the errno of the answer; -ECONNRESET for none. */
static int answer_to(const struct donor *donor, unsigned at, uint8_t xor)
{
	uint8_t hello[FRAME_HELLO_BYTES], welcome[FRAME_WELCOME_BYTES];
	int err, fd = donor_dial(donor);

	hello_bytes(donor, hello);
	hello[at] ^= xor;
	CU_ASSERT_EQUAL(dial_send(fd, hello, sizeof(hello), hostile_soon()), 0);
	err = dial_receive(fd, welcome, sizeof(welcome), hostile_soon());
	if (err) {
		close(fd);
		return err;
	}
	err = frame_welcome_decode(hostile_magic(), welcome);
	if (err)
		hostile_check_hung_up(fd);
	else
		close(fd);
	return err;
}

static void a_wrong_hello_is_turned_away(void)
{
	const struct variant *const variants[] = {&hostile_shm, &hostile_tcp};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(variants); i++) {
		struct donor *donor = hostile_donor(variants[i]);

		CU_ASSERT_EQUAL(answer_to(donor, 8, 0), 0);
		CU_ASSERT_EQUAL(answer_to(donor, 0, 1), -ECONNRESET);
		CU_ASSERT_EQUAL(answer_to(donor, 4, 2), -EPROTONOSUPPORT);
		CU_ASSERT_EQUAL(answer_to(donor, 6, 1), -ECONNRESET);
		CU_ASSERT_EQUAL(answer_to(donor, 8, 1), -EACCES);
		hostile_check_others(donor);
		donor_stop(donor);
	}
}

/* One that has said nothing, one that stopped in mid-hello, one that was refused and stays. */
static void whoever_says_nothing_is_hung_up_on(void)
{
	const struct variant *const variants[] = {&hostile_shm, &hostile_tcp};
	int fds[2][2];
	struct donor *donors[2];
	uint64_t begin = clock_ns();
	unsigned i;

	for (i = 0; i < 2; i++) {
		donors[i] = hostile_donor(variants[i]);
		fds[i][0] = donor_dial(donors[i]);
		fds[i][1] = donor_dial(donors[i]);
		CU_ASSERT_EQUAL(dial_send(fds[i][1], "LPT", 3, hostile_soon()), 0);
	}
	for (i = 0; i < 2; i++) {
		hostile_check_hung_up(fds[i][0]);
		hostile_check_hung_up(fds[i][1]);
	}
	CU_ASSERT(clock_ns() - begin > 3000000000u);
	CU_ASSERT(clock_ns() - begin < 10000000000u);
	donor_stop(donors[0]);
	donor_stop(donors[1]);
}

static void strangers_leave_nothing_behind(void)
{
	const struct variant *const variants[] = {&hostile_shm, &hostile_tcp};
	uint8_t bytes[FRAME_HELLO_BYTES];
	unsigned i, n, before;

	for (i = 0; i < ARRAY_LEN(variants); i++) {
		struct donor *donor = hostile_donor(variants[i]);

		hostile_check_others(donor);
		before = hostile_descriptors_at_rest(donor);
		for (n = 0; n < 3000; n++) {
			int fd = donor_dial(donor);

			/* Nothing, half a hello, a whole one, garbage. */
			hello_bytes(donor, bytes);
			if (n % 4 == 3)
				memset(bytes, (int)n, sizeof(bytes));
			if (n % 4)
				hostile_send(fd, bytes, n % 4 == 1 ? 11 : sizeof(bytes));
			close(fd);
		}
		CU_ASSERT(hostile_descriptors_become(before));
		CU_ASSERT_EQUAL(donor_stats(donor).connections, 0);
		hostile_check_others(donor);
		donor_stop(donor);
	}
}

#define CROWD 700u

static void a_silent_crowd_keeps_nobody_out(void)
{
	struct donor *donor = hostile_donor(&hostile_tcp);
	int fds[CROWD];
	unsigned i, before = hostile_descriptors_at_rest(donor);

	for (i = 0; i < CROWD; i++)
		fds[i] = donor_dial(donor);
	hostile_check_others(donor);
	/* The donor's ends are counted too, for it is a thread: less than all of them stay. */
	CU_ASSERT(hostile_descriptors() - before < CROWD + 600);
	for (i = 0; i < CROWD; i++)
		close(fds[i]);
	CU_ASSERT(hostile_descriptors_become(before));
	donor_stop(donor);
}

/* ---- shm ---- */

static int send_question(int fd, enum shm_op op, uint64_t key)
{
	const struct shm_question question = {.op = op, .key = key};
	uint8_t bytes[SHM_QUESTION_BYTES];

	shm_question_encode(&question, bytes);
	return dial_send(fd, bytes, sizeof(bytes), hostile_soon());
}

static void a_question_nobody_asks_ends_the_connection(void)
{
	struct donor *donor = hostile_donor(&hostile_shm);
	int fd = hostile_session(donor);

	CU_ASSERT_EQUAL(send_question(fd, (enum shm_op)77, 1000), 0);
	hostile_check_hung_up(fd);
	hostile_check_others(donor);
	donor_stop(donor);
}

static void what_is_not_mapped_cannot_be_unmapped(void)
{
	static const uint64_t keys[] = {1000, 999999, 2000};
	struct donor *donor = hostile_donor(&hostile_shm);
	int fd = hostile_session(donor);
	uint8_t bytes[SHM_ANSWER_BYTES];
	struct shm_answer answer;
	unsigned i;

	for (i = 0; i < ARRAY_LEN(keys); i++) {
		CU_ASSERT_EQUAL(send_question(fd, SHM_UNMAP, keys[i]), 0);
		CU_ASSERT_EQUAL(dial_receive(fd, bytes, sizeof(bytes), hostile_soon()), 0);
		CU_ASSERT_EQUAL(shm_answer_decode(bytes, &answer), 0);
		CU_ASSERT_EQUAL(answer.status, FRAME_REFUSED);
	}
	close(fd);
	donor_stop(donor);
}

/* Each unread answer has a descriptor in it. */
static void unread_answers_end_the_connection(void)
{
	struct donor *donor = hostile_donor(&hostile_shm);
	unsigned i, before = hostile_descriptors_at_rest(donor);
	int fd = hostile_session(donor), err = 0;

	for (i = 0; i < 100000 && !err; i++)
		err = send_question(fd, SHM_MAP, 1000);
	CU_ASSERT_EQUAL(err, -ECONNRESET);
	close(fd);
	CU_ASSERT(hostile_descriptors_become(before));
	CU_ASSERT_EQUAL(donor_stats(donor).connections, 0);
	hostile_check_others(donor);
	donor_stop(donor);
}

/* A crowd has two ends here, and many systems begin with 1024. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_hello_may_come_in_pieces),
		SUITE_TEST(a_wrong_hello_is_turned_away),
		SUITE_TEST(whoever_says_nothing_is_hung_up_on),
		SUITE_TEST(strangers_leave_nothing_behind),
		SUITE_TEST(a_silent_crowd_keeps_nobody_out),
		SUITE_TEST(a_question_nobody_asks_ends_the_connection),
		SUITE_TEST(what_is_not_mapped_cannot_be_unmapped),
		SUITE_TEST(unread_answers_end_the_connection),
		SUITE_END,
	};

	raise_descriptor_limit();
	return suite_run("hostile clients", tests);
}
