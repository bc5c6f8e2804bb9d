/*
 * What strangers and broken clients get from a server: nothing that is not theirs, no memory, no
 * descriptor that stays, and no time that others need.
 */
#include "tests/contract/contract.h"

#include "common/base/clock.h"
#include "common/transport/dial.h"
#include "common/transport/shm_frame.h"
#include "common/transport/tcp_frame.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define BLOCK 4096u

static const struct variant shm = {"shm", TP_SHM, false}, tcp = {"tcp", TP_TCP, false};

static uint64_t soon(void)
{
	return clock_ns() + PATIENCE_MS * 1000000ull;
}

static struct donor *start(const struct variant *variant)
{
	contract_variant = variant;
	return donor_start(variant->kind, DONOR_THREAD);
}

static uint32_t magic(void)
{
	return contract_variant->kind == TP_SHM ? TP_SHM_MAGIC : TP_TCP_MAGIC;
}

/* A socket that the donor has welcomed in domain 0. */
static int raw_session(const struct donor *donor)
{
	const struct tp_target target = donor_target(donor, 0);
	int fd = donor_dial(donor);

	CU_ASSERT_EQUAL_FATAL(dial_hello(fd, magic(), target.token, soon()), 0);
	return fd;
}

/* To a donor that may have hung up meanwhile. */
static void send_anyway(int fd, const void *bytes, size_t len)
{
	int err = dial_send(fd, bytes, len, soon());

	CU_ASSERT(err == 0 || err == -ECONNRESET);
}

/* Sees to it that the donor has hung up and said nothing more, and closes. */
static void check_hung_up(int fd)
{
	uint8_t byte;

	CU_ASSERT_EQUAL(dial_receive(fd, &byte, 1, soon()), -ECONNRESET);
	close(fd);
}

static void check_others_work(const struct donor *donor)
{
	struct client client;
	uint8_t out[BLOCK], in[BLOCK];

	client_open(&client, donor, 1, 0);
	pattern_fill(out, BLOCK, 4);
	CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, 0, out, BLOCK), 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, in, BLOCK), 0);
	CU_ASSERT(pattern_matches(in, BLOCK, 4));
	client_close(&client);
}

static unsigned open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* With the donor at rest: it has started, and ended whatever was connected. */
static unsigned resting_descriptors(struct donor *donor)
{
	uint64_t deadline = soon();

	while (donor_stats(donor).connections && clock_ns() < deadline)
		usleep(1000);
	return open_descriptors();
}

static bool descriptors_become(unsigned want)
{
	uint64_t deadline = soon();

	while (open_descriptors() != want && clock_ns() < deadline)
		usleep(1000);
	return open_descriptors() == want;
}

/* ---- hello ---- */

static void hello_bytes(const struct donor *donor, uint8_t bytes[FRAME_HELLO_BYTES])
{
	struct frame_hello hello = {.version = FRAME_VERSION};
	const struct tp_target target = donor_target(donor, 0);

	memcpy(hello.token, target.token, TP_TOKEN_BYTES);
	frame_hello_encode(magic(), &hello, bytes);
}

static void a_hello_may_come_in_pieces(void)
{
	const struct variant *const variants[] = {&shm, &tcp};
	uint8_t hello[FRAME_HELLO_BYTES], welcome[FRAME_WELCOME_BYTES];
	unsigned i, at;

	for (i = 0; i < ARRAY_LEN(variants); i++) {
		struct donor *donor = start(variants[i]);
		int fd = donor_dial(donor);

		hello_bytes(donor, hello);
		for (at = 0; at < sizeof(hello); at++) {
			CU_ASSERT_EQUAL(dial_send(fd, hello + at, 1, soon()), 0);
			usleep(500);
		}
		CU_ASSERT_EQUAL(dial_receive(fd, welcome, sizeof(welcome), soon()), 0);
		CU_ASSERT_EQUAL(frame_welcome_decode(magic(), welcome), 0);
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
	CU_ASSERT_EQUAL(dial_send(fd, hello, sizeof(hello), soon()), 0);
	err = dial_receive(fd, welcome, sizeof(welcome), soon());
	if (err) {
		close(fd);
		return err;
	}
	err = frame_welcome_decode(magic(), welcome);
	if (err)
		check_hung_up(fd);
	else
		close(fd);
	return err;
}

static void a_wrong_hello_is_turned_away(void)
{
	const struct variant *const variants[] = {&shm, &tcp};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(variants); i++) {
		struct donor *donor = start(variants[i]);

		CU_ASSERT_EQUAL(answer_to(donor, 8, 0), 0);
		CU_ASSERT_EQUAL(answer_to(donor, 0, 1), -ECONNRESET);
		CU_ASSERT_EQUAL(answer_to(donor, 4, 2), -EPROTONOSUPPORT);
		CU_ASSERT_EQUAL(answer_to(donor, 6, 1), -ECONNRESET);
		CU_ASSERT_EQUAL(answer_to(donor, 8, 1), -EACCES);
		check_others_work(donor);
		donor_stop(donor);
	}
}

/* One that has said nothing, one that stopped in mid-hello, one that was refused and stays. */
static void whoever_says_nothing_is_hung_up_on(void)
{
	const struct variant *const variants[] = {&shm, &tcp};
	int fds[2][2];
	struct donor *donors[2];
	uint64_t begin = clock_ns();
	unsigned i;

	for (i = 0; i < 2; i++) {
		donors[i] = start(variants[i]);
		fds[i][0] = donor_dial(donors[i]);
		fds[i][1] = donor_dial(donors[i]);
		CU_ASSERT_EQUAL(dial_send(fds[i][1], "LPT", 3, soon()), 0);
	}
	for (i = 0; i < 2; i++) {
		check_hung_up(fds[i][0]);
		check_hung_up(fds[i][1]);
	}
	CU_ASSERT(clock_ns() - begin > 3000000000u);
	CU_ASSERT(clock_ns() - begin < 10000000000u);
	donor_stop(donors[0]);
	donor_stop(donors[1]);
}

static void strangers_leave_nothing_behind(void)
{
	const struct variant *const variants[] = {&shm, &tcp};
	uint8_t bytes[FRAME_HELLO_BYTES];
	unsigned i, n, before;

	for (i = 0; i < ARRAY_LEN(variants); i++) {
		struct donor *donor = start(variants[i]);

		check_others_work(donor);
		before = resting_descriptors(donor);
		for (n = 0; n < 3000; n++) {
			int fd = donor_dial(donor);

			/* Nothing, half a hello, a whole one, garbage. */
			hello_bytes(donor, bytes);
			if (n % 4 == 3)
				memset(bytes, (int)n, sizeof(bytes));
			if (n % 4)
				send_anyway(fd, bytes, n % 4 == 1 ? 11 : sizeof(bytes));
			close(fd);
		}
		CU_ASSERT(descriptors_become(before));
		CU_ASSERT_EQUAL(donor_stats(donor).connections, 0);
		check_others_work(donor);
		donor_stop(donor);
	}
}

#define CROWD 700u

static void a_silent_crowd_keeps_nobody_out(void)
{
	struct donor *donor = start(&tcp);
	int fds[CROWD];
	unsigned i, before = resting_descriptors(donor);

	for (i = 0; i < CROWD; i++)
		fds[i] = donor_dial(donor);
	check_others_work(donor);
	/* The donor's ends are counted too, for it is a thread: less than all of them stay. */
	CU_ASSERT(open_descriptors() - before < CROWD + 600);
	for (i = 0; i < CROWD; i++)
		close(fds[i]);
	CU_ASSERT(descriptors_become(before));
	donor_stop(donor);
}

/* ---- tcp ---- */

static void send_request(int fd, enum tcp_op op, uint64_t offset, uint32_t bytes, uint64_t cookie)
{
	const struct tcp_request request = {
		.op = op, .key = 1000, .offset = offset, .bytes = bytes, .cookie = cookie};
	uint8_t frame[TCP_REQUEST_BYTES];

	tcp_request_encode(&request, frame);
	CU_ASSERT_EQUAL(dial_send(fd, frame, sizeof(frame), soon()), 0);
}

static struct tcp_reply receive_reply(int fd)
{
	uint8_t frame[TCP_REPLY_BYTES];
	struct tcp_reply reply = {.status = UINT16_MAX};

	CU_ASSERT_EQUAL(dial_receive(fd, frame, sizeof(frame), soon()), 0);
	CU_ASSERT_EQUAL(tcp_reply_decode(frame, &reply), 0);
	return reply;
}

/* Good requests before it are answered; then the refusal, then the end. */
static void check_refused(struct donor *donor, const uint8_t frame[TCP_REQUEST_BYTES],
			  enum frame_status status)
{
	int fd = raw_session(donor);
	struct tcp_reply reply;
	uint8_t byte;

	send_request(fd, TCP_READ, 0, 1, 71);
	CU_ASSERT_EQUAL(dial_send(fd, frame, TCP_REQUEST_BYTES, soon()), 0);
	send_request(fd, TCP_READ, 0, 1, 73);
	reply = receive_reply(fd);
	CU_ASSERT_EQUAL(reply.cookie, 71);
	CU_ASSERT_EQUAL(reply.status, FRAME_OK);
	CU_ASSERT_EQUAL(dial_receive(fd, &byte, 1, soon()), 0);
	reply = receive_reply(fd);
	CU_ASSERT_EQUAL(reply.status, status);
	CU_ASSERT_EQUAL(reply.bytes, 0);
	check_hung_up(fd);
}

static void garbage_in_place_of_a_request_ends_the_connection(void)
{
	struct donor *donor = start(&tcp);
	const struct tcp_request good = {.op = TCP_WRITE, .bytes = 1, .key = 1000};
	uint8_t frame[TCP_REQUEST_BYTES];
	unsigned i;
	static const struct {
		unsigned at;
		uint8_t value;
	} wrong[] = {{0, 0}, {1, 0xff}, {2, 0}, {2, 3}, {3, 1}, {4, 0}, {6, 4}, {7, 0xff}};

	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		tcp_request_encode(&good, frame);
		frame[wrong[i].at] = wrong[i].value;
		check_refused(donor, frame, FRAME_PROTOCOL);
	}
	tcp_request_encode(&good, frame);
	frame[8] ^= 0xff;
	check_refused(donor, frame, FRAME_REFUSED);
	check_others_work(donor);
	donor_stop(donor);
}

/* A WRITE and a READ of what it wrote, as few bytes at a time as the size says. */
static void dribble(struct donor *donor, size_t piece)
{
	enum { PAYLOAD = 100 };
	struct tcp_request request = {.op = TCP_WRITE, .bytes = PAYLOAD, .key = 1000};
	uint8_t all[2 * TCP_REQUEST_BYTES + PAYLOAD], answer[PAYLOAD];
	int fd = raw_session(donor);
	size_t at;

	tcp_request_encode(&request, all);
	pattern_fill(all + TCP_REQUEST_BYTES, PAYLOAD, piece);
	request.op = TCP_READ;
	tcp_request_encode(&request, all + TCP_REQUEST_BYTES + PAYLOAD);
	for (at = 0; at < sizeof(all); at += piece) {
		size_t left = sizeof(all) - at;

		CU_ASSERT_EQUAL(dial_send(fd, all + at, left < piece ? left : piece, soon()), 0);
		usleep(200);
	}
	CU_ASSERT_EQUAL(receive_reply(fd).bytes, 0);
	CU_ASSERT_EQUAL(receive_reply(fd).bytes, PAYLOAD);
	CU_ASSERT_EQUAL(dial_receive(fd, answer, PAYLOAD, soon()), 0);
	CU_ASSERT(pattern_matches(answer, PAYLOAD, piece));
	close(fd);
}

static void requests_may_come_in_pieces(void)
{
	static const size_t pieces[] = {1, 3, 31, 33, 131, 133, 200};
	struct donor *donor = start(&tcp);
	unsigned i;

	for (i = 0; i < ARRAY_LEN(pieces); i++)
		dribble(donor, pieces[i]);
	donor_stop(donor);
}

static void a_write_that_breaks_off_hurts_nobody(void)
{
	struct donor *donor = start(&tcp);
	uint8_t bytes[1000] = {1};
	unsigned i;

	pattern_fill(donor_memory(donor, 0, 1), DONOR_SLAB_BYTES, 6);
	for (i = 0; i < 50; i++) {
		int fd = raw_session(donor);

		send_request(fd, TCP_WRITE, 0, BLOCK, i);
		CU_ASSERT_EQUAL(dial_send(fd, bytes, i * 20, soon()), 0);
		close(fd);
	}
	check_others_work(donor);
	CU_ASSERT(pattern_matches(donor_memory(donor, 0, 1), DONOR_SLAB_BYTES, 6));
	donor_stop(donor);
}

/* Half of the payload is there when the memory is taken back: the rest goes nowhere. */
static void a_revoked_memory_gets_no_more_of_a_write(void)
{
	struct donor *donor = start(&tcp);
	static uint8_t bytes[BLOCK];
	int fd = raw_session(donor);

	memset(bytes, 0x99, sizeof(bytes));
	send_request(fd, TCP_WRITE, 0, BLOCK, 1);
	CU_ASSERT_EQUAL(dial_send(fd, bytes, BLOCK / 2, soon()), 0);
	while (donor_peek(donor, 0, 0) != 0x99)
		usleep(1000);
	donor_revoke(donor, 0, 0);
	pattern_fill(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 2);
	send_anyway(fd, bytes, BLOCK / 2);
	check_hung_up(fd);
	CU_ASSERT(pattern_matches(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 2));
	check_others_work(donor);
	donor_stop(donor);
}

/* Sends READs until the donor has not taken any for a while; returns how many. */
static unsigned send_until_blocked(int fd)
{
	uint8_t frame[TCP_REQUEST_BYTES];
	struct tcp_request request = {.op = TCP_READ, .bytes = BLOCK, .key = 1000};
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	unsigned n = 0;

	while (poll(&pfd, 1, 300) == 1 && n < 1000000) {
		request.cookie = n;
		tcp_request_encode(&request, frame);
		CU_ASSERT_EQUAL_FATAL(dial_send(fd, frame, sizeof(frame), soon()), 0);
		n++;
	}
	return n;
}

static void a_peer_that_does_not_read_is_not_listened_to(void)
{
	struct donor *donor = start(&tcp);
	int fd = raw_session(donor);
	uint8_t page[BLOCK];
	unsigned i, n;

	pattern_fill(donor_memory(donor, 0, 0), BLOCK, 12);
	n = send_until_blocked(fd);
	CU_ASSERT(n > 64 && n < 1000000);
	check_others_work(donor);
	/* Nothing was lost meanwhile. */
	for (i = 0; i < n; i++) {
		struct tcp_reply reply = receive_reply(fd);

		CU_ASSERT_FATAL(reply.cookie == i && reply.status == FRAME_OK);
		CU_ASSERT_EQUAL(dial_receive(fd, page, BLOCK, soon()), 0);
		CU_ASSERT(pattern_matches(page, BLOCK, 12));
	}
	close(fd);
	donor_stop(donor);
}

struct hog {
	struct client client;
	_Atomic bool stop;
};

static void *take_all(void *arg)
{
	static uint8_t buffer[TP_MAX_BYTES];
	struct hog *hog = arg;
	struct tp_request request = {
		.op = TP_READ,
		.handle = hog->client.handles[0],
		.local = buffer,
		.bytes = TP_MAX_BYTES,
	};
	struct tp_completion done[256];

	while (!atomic_load(&hog->stop)) {
		CU_ASSERT(tp_post(hog->client.conn, &request, 1) >= 0);
		CU_ASSERT(tp_poll(hog->client.conn, done, ARRAY_LEN(done)) >= 0);
	}
	return NULL;
}

static void a_greedy_connection_starves_nobody(void)
{
	struct donor *donor = start(&tcp);
	struct hog hog = {.stop = false};
	struct client client;
	pthread_t thread;
	uint8_t page[BLOCK];
	unsigned i;

	client_open(&hog.client, donor, 0, 256);
	client_open(&client, donor, 1, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, take_all, &hog), 0);
	for (i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, page, BLOCK), 0);
	atomic_store(&hog.stop, true);
	pthread_join(thread, NULL);
	client_close(&client);
	client_close(&hog.client);
	donor_stop(donor);
}

/* ---- shm ---- */

static int send_question(int fd, enum shm_op op, uint64_t key)
{
	const struct shm_question question = {.op = op, .key = key};
	uint8_t bytes[SHM_QUESTION_BYTES];

	shm_question_encode(&question, bytes);
	return dial_send(fd, bytes, sizeof(bytes), soon());
}

static void a_question_nobody_asks_ends_the_connection(void)
{
	struct donor *donor = start(&shm);
	int fd = raw_session(donor);

	CU_ASSERT_EQUAL(send_question(fd, (enum shm_op)77, 1000), 0);
	check_hung_up(fd);
	check_others_work(donor);
	donor_stop(donor);
}

static void what_is_not_mapped_cannot_be_unmapped(void)
{
	static const uint64_t keys[] = {1000, 999999, 2000};
	struct donor *donor = start(&shm);
	int fd = raw_session(donor);
	uint8_t bytes[SHM_ANSWER_BYTES];
	struct shm_answer answer;
	unsigned i;

	for (i = 0; i < ARRAY_LEN(keys); i++) {
		CU_ASSERT_EQUAL(send_question(fd, SHM_UNMAP, keys[i]), 0);
		CU_ASSERT_EQUAL(dial_receive(fd, bytes, sizeof(bytes), soon()), 0);
		CU_ASSERT_EQUAL(shm_answer_decode(bytes, &answer), 0);
		CU_ASSERT_EQUAL(answer.status, FRAME_REFUSED);
	}
	close(fd);
	donor_stop(donor);
}

/* Each unread answer has a descriptor in it. */
static void unread_answers_end_the_connection(void)
{
	struct donor *donor = start(&shm);
	unsigned i, before = resting_descriptors(donor);
	int fd = raw_session(donor), err = 0;

	for (i = 0; i < 100000 && !err; i++)
		err = send_question(fd, SHM_MAP, 1000);
	CU_ASSERT_EQUAL(err, -ECONNRESET);
	close(fd);
	CU_ASSERT(descriptors_become(before));
	CU_ASSERT_EQUAL(donor_stats(donor).connections, 0);
	check_others_work(donor);
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
		SUITE_TEST(garbage_in_place_of_a_request_ends_the_connection),
		SUITE_TEST(requests_may_come_in_pieces),
		SUITE_TEST(a_write_that_breaks_off_hurts_nobody),
		SUITE_TEST(a_revoked_memory_gets_no_more_of_a_write),
		SUITE_TEST(a_peer_that_does_not_read_is_not_listened_to),
		SUITE_TEST(a_greedy_connection_starves_nobody),
		SUITE_TEST(a_question_nobody_asks_ends_the_connection),
		SUITE_TEST(what_is_not_mapped_cannot_be_unmapped),
		SUITE_TEST(unread_answers_end_the_connection),
		SUITE_END,
	};

	raise_descriptor_limit();
	return suite_run("hostile clients", tests);
}
