/* What broken clients get from the tcp server: their own connection ends, and nobody else's. */
#include "tests/contract/hostile.h"

#include "common/transport/dial.h"
#include "common/transport/tcp_frame.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static void send_request(int fd, enum tcp_op op, uint64_t offset, uint32_t bytes, uint64_t cookie)
{
	const struct tcp_request request = {
		.op = op, .key = 1000, .offset = offset, .bytes = bytes, .cookie = cookie};
	uint8_t frame[TCP_REQUEST_BYTES];

	tcp_request_encode(&request, frame);
	CU_ASSERT_EQUAL(dial_send(fd, frame, sizeof(frame), hostile_soon()), 0);
}

static struct tcp_reply receive_reply(int fd)
{
	uint8_t frame[TCP_REPLY_BYTES];
	struct tcp_reply reply = {.status = UINT16_MAX};

	CU_ASSERT_EQUAL(dial_receive(fd, frame, sizeof(frame), hostile_soon()), 0);
	CU_ASSERT_EQUAL(tcp_reply_decode(frame, &reply), 0);
	return reply;
}

/* Good requests before it are answered; then the refusal, then the end. */
static void check_refused(struct donor *donor, const uint8_t frame[TCP_REQUEST_BYTES],
			  enum frame_status status)
{
	int fd = hostile_session(donor);
	struct tcp_reply reply;
	uint8_t byte;

	send_request(fd, TCP_READ, 0, 1, 71);
	CU_ASSERT_EQUAL(dial_send(fd, frame, TCP_REQUEST_BYTES, hostile_soon()), 0);
	send_request(fd, TCP_READ, 0, 1, 73);
	reply = receive_reply(fd);
	CU_ASSERT_EQUAL(reply.cookie, 71);
	CU_ASSERT_EQUAL(reply.status, FRAME_OK);
	CU_ASSERT_EQUAL(dial_receive(fd, &byte, 1, hostile_soon()), 0);
	reply = receive_reply(fd);
	CU_ASSERT_EQUAL(reply.status, status);
	CU_ASSERT_EQUAL(reply.bytes, 0);
	hostile_check_hung_up(fd);
}

static void garbage_in_place_of_a_request_ends_the_connection(void)
{
	struct donor *donor = hostile_donor(&hostile_tcp);
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
	hostile_check_others(donor);
	donor_stop(donor);
}

/* A WRITE and a READ of what it wrote, as few bytes at a time as the size says. */
static void dribble(struct donor *donor, size_t piece)
{
	enum { PAYLOAD = 100 };
	struct tcp_request request = {.op = TCP_WRITE, .bytes = PAYLOAD, .key = 1000};
	uint8_t all[2 * TCP_REQUEST_BYTES + PAYLOAD], answer[PAYLOAD];
	int fd = hostile_session(donor);
	size_t at;

	tcp_request_encode(&request, all);
	pattern_fill(all + TCP_REQUEST_BYTES, PAYLOAD, piece);
	request.op = TCP_READ;
	tcp_request_encode(&request, all + TCP_REQUEST_BYTES + PAYLOAD);
	for (at = 0; at < sizeof(all); at += piece) {
		size_t left = sizeof(all) - at;

		CU_ASSERT_EQUAL(
			dial_send(fd, all + at, left < piece ? left : piece, hostile_soon()), 0);
		usleep(200);
	}
	CU_ASSERT_EQUAL(receive_reply(fd).bytes, 0);
	CU_ASSERT_EQUAL(receive_reply(fd).bytes, PAYLOAD);
	CU_ASSERT_EQUAL(dial_receive(fd, answer, PAYLOAD, hostile_soon()), 0);
	CU_ASSERT(pattern_matches(answer, PAYLOAD, piece));
	close(fd);
}

static void requests_may_come_in_pieces(void)
{
	static const size_t pieces[] = {1, 3, 31, 33, 131, 133, 200};
	struct donor *donor = hostile_donor(&hostile_tcp);
	unsigned i;

	for (i = 0; i < ARRAY_LEN(pieces); i++)
		dribble(donor, pieces[i]);
	donor_stop(donor);
}

static void a_write_that_breaks_off_hurts_nobody(void)
{
	struct donor *donor = hostile_donor(&hostile_tcp);
	uint8_t bytes[1000] = {1};
	unsigned i;

	pattern_fill(donor_memory(donor, 0, 1), DONOR_SLAB_BYTES, 6);
	for (i = 0; i < 50; i++) {
		int fd = hostile_session(donor);

		send_request(fd, TCP_WRITE, 0, HOSTILE_BLOCK, i);
		CU_ASSERT_EQUAL(dial_send(fd, bytes, i * 20, hostile_soon()), 0);
		close(fd);
	}
	hostile_check_others(donor);
	CU_ASSERT(pattern_matches(donor_memory(donor, 0, 1), DONOR_SLAB_BYTES, 6));
	donor_stop(donor);
}

/* Half of the payload is there when the memory is taken back: the rest goes nowhere. */
static void a_revoked_memory_gets_no_more_of_a_write(void)
{
	struct donor *donor = hostile_donor(&hostile_tcp);
	static uint8_t bytes[HOSTILE_BLOCK];
	int fd = hostile_session(donor);

	memset(bytes, 0x99, sizeof(bytes));
	send_request(fd, TCP_WRITE, 0, HOSTILE_BLOCK, 1);
	CU_ASSERT_EQUAL(dial_send(fd, bytes, HOSTILE_BLOCK / 2, hostile_soon()), 0);
	while (donor_peek(donor, 0, 0) != 0x99)
		usleep(1000);
	donor_revoke(donor, 0, 0);
	pattern_fill(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 2);
	hostile_send(fd, bytes, HOSTILE_BLOCK / 2);
	hostile_check_hung_up(fd);
	CU_ASSERT(pattern_matches(donor_memory(donor, 0, 0), DONOR_SLAB_BYTES, 2));
	hostile_check_others(donor);
	donor_stop(donor);
}

/* Sends READs until the donor has not taken any for a while; returns how many. */
static unsigned send_until_blocked(int fd)
{
	uint8_t frame[TCP_REQUEST_BYTES];
	struct tcp_request request = {.op = TCP_READ, .bytes = HOSTILE_BLOCK, .key = 1000};
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	unsigned n = 0;

	while (poll(&pfd, 1, 300) == 1 && n < 1000000) {
		request.cookie = n;
		tcp_request_encode(&request, frame);
		CU_ASSERT_EQUAL_FATAL(dial_send(fd, frame, sizeof(frame), hostile_soon()), 0);
		n++;
	}
	return n;
}

static void a_peer_that_does_not_read_is_not_listened_to(void)
{
	struct donor *donor = hostile_donor(&hostile_tcp);
	int fd = hostile_session(donor);
	uint8_t page[HOSTILE_BLOCK];
	unsigned i, n;

	pattern_fill(donor_memory(donor, 0, 0), HOSTILE_BLOCK, 12);
	n = send_until_blocked(fd);
	CU_ASSERT(n > 64 && n < 1000000);
	hostile_check_others(donor);
	/* Nothing was lost meanwhile. */
	for (i = 0; i < n; i++) {
		struct tcp_reply reply = receive_reply(fd);

		CU_ASSERT_FATAL(reply.cookie == i && reply.status == FRAME_OK);
		CU_ASSERT_EQUAL(dial_receive(fd, page, HOSTILE_BLOCK, hostile_soon()), 0);
		CU_ASSERT(pattern_matches(page, HOSTILE_BLOCK, 12));
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
	struct donor *donor = hostile_donor(&hostile_tcp);
	struct hog hog = {.stop = false};
	struct client client;
	pthread_t thread;
	uint8_t page[HOSTILE_BLOCK];
	unsigned i;

	client_open(&hog.client, donor, 0, 256);
	client_open(&client, donor, 1, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, take_all, &hog), 0);
	for (i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, page, HOSTILE_BLOCK), 0);
	atomic_store(&hog.stop, true);
	pthread_join(thread, NULL);
	client_close(&client);
	client_close(&hog.client);
	donor_stop(donor);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(garbage_in_place_of_a_request_ends_the_connection),
		SUITE_TEST(requests_may_come_in_pieces),
		SUITE_TEST(a_write_that_breaks_off_hurts_nobody),
		SUITE_TEST(a_revoked_memory_gets_no_more_of_a_write),
		SUITE_TEST(a_peer_that_does_not_read_is_not_listened_to),
		SUITE_TEST(a_greedy_connection_starves_nobody),
		SUITE_END,
	};

	return suite_run("hostile clients over tcp", tests);
}
