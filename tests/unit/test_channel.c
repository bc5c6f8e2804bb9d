/* Frames over a socket pair: cut anywhere, slow, silent or gone. */
#include "tests/suite.h"

#include "common/base/clock.h"
#include "common/wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct channel near_end, far_end;

static void open_pair(void)
{
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	channel_open(&near_end, fds[0]);
	channel_open(&far_end, fds[1]);
}

static void close_pair(void)
{
	channel_close(&near_end);
	channel_close(&far_end);
}

static struct wire_message full_grant(uint32_t request)
{
	struct wire_message message = {.type = WIRE_GRANT};

	message.grant.request = request;
	message.grant.count = WIRE_MAX_LEASES;
	for (uint32_t i = 0; i < WIRE_MAX_LEASES; i++)
		message.grant.slabs[i].key = request + i;
	return message;
}

/* Writes to the far end what its channel would not: raw bytes. */
static void write_raw(const void *bytes, size_t len)
{
	CU_ASSERT_EQUAL(write(far_end.fd, bytes, len), (ssize_t)len);
}

static void messages_arrive_in_order(void)
{
	struct wire_message got;

	open_pair();
	CU_ASSERT_EQUAL(channel_receive(&far_end, &got), 0);
	for (uint32_t i = 0; i < 3; i++) {
		struct wire_message grant = full_grant(i);

		CU_ASSERT_EQUAL(channel_send(&near_end, &grant), 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		struct wire_message grant = full_grant(i);

		CU_ASSERT_EQUAL(channel_receive(&far_end, &got), 1);
		CU_ASSERT_EQUAL(memcmp(&got, &grant, sizeof(got)), 0);
	}
	CU_ASSERT_EQUAL(channel_receive(&far_end, &got), 0);
	close_pair();
}

static void a_message_cut_into_bytes_arrives_whole(void)
{
	struct wire_message grant = full_grant(5), got;
	uint8_t frame[WIRE_MAX_FRAME];
	int n = wire_encode(&grant, frame, sizeof(frame));

	open_pair();
	CU_ASSERT_FATAL(n > 0);
	for (int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(channel_receive(&near_end, &got), 0);
		write_raw(frame + i, 1);
	}
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), 1);
	CU_ASSERT_EQUAL(memcmp(&got, &grant, sizeof(got)), 0);
	close_pair();
}

static void the_magic_goes_before_the_hello(void)
{
	struct wire_message hello = {.type = WIRE_HELLO, .hello = {1, 1, 2, {3}, "name"}}, got;
	char magic[4];

	open_pair();
	CU_ASSERT_EQUAL(channel_send_magic(&near_end), 0);
	CU_ASSERT_EQUAL(channel_send(&near_end, &hello), 0);
	CU_ASSERT_EQUAL(read(far_end.fd, magic, sizeof(magic)), 4);
	CU_ASSERT_EQUAL(memcmp(magic, "LPCR", 4), 0);
	CU_ASSERT_EQUAL(channel_receive(&far_end, &got), 1);
	CU_ASSERT_EQUAL(memcmp(&got, &hello, sizeof(got)), 0);
	close_pair();
}

static void garbage_ends_it_for_good(void)
{
	static const uint8_t renew[] = {0, 0, 0, 0, WIRE_RENEW, 0, 0, 0};
	struct wire_message got;

	open_pair();
	write_raw(renew, sizeof(renew));
	write_raw("GET / HTTP/1.1\r\n", 16);
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), 1);
	CU_ASSERT_EQUAL(got.type, WIRE_RENEW);
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), -EPROTO);
	write_raw(renew, sizeof(renew));
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), -EPROTO);
	close_pair();
}

static void an_oversized_length_is_refused_before_its_bytes_come(void)
{
	struct wire_message got;

	open_pair();
	write_raw("\xff\xff\xff\x7f", 4);
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), -EPROTO);
	close_pair();
}

static void the_end_of_the_stream_is_told_after_the_last_message(void)
{
	struct wire_message bye = {.type = WIRE_BYE}, got;

	open_pair();
	CU_ASSERT_EQUAL(channel_send(&far_end, &bye), 0);
	write_raw("\0\0", 2); /* and a frame cut short */
	channel_close(&far_end);
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), 1);
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), -ECONNRESET);
	CU_ASSERT_EQUAL(channel_receive(&near_end, &got), -ECONNRESET);
	close_pair();
}

static void a_send_to_a_peer_that_went_fails_without_a_signal(void)
{
	struct wire_message renew = {.type = WIRE_RENEW};

	open_pair();
	channel_close(&far_end);
	CU_ASSERT_EQUAL(channel_send(&near_end, &renew), -EPIPE);
	close_pair();
}

static void fill_until_refused(uint32_t *sent)
{
	int err;

	for (*sent = 0;; ++*sent) {
		struct wire_message grant = full_grant(*sent);

		err = channel_send(&near_end, &grant);
		if (err)
			break;
		CU_ASSERT_FATAL(*sent < 10000);
	}
	CU_ASSERT_EQUAL(err, -ENOBUFS);
}

static void a_peer_that_does_not_read_is_bounded_and_loses_nothing(void)
{
	struct wire_message got;
	uint32_t sent, seen;

	open_pair();
	fill_until_refused(&sent);
	CU_ASSERT(channel_wants_write(&near_end));
	CU_ASSERT_EQUAL(channel_flush(&near_end), -EAGAIN);
	for (seen = 0; seen < sent; seen++) {
		struct wire_message grant = full_grant(seen);
		int n;

		while ((n = channel_receive(&far_end, &got)) == 0) {
			int err = channel_flush(&near_end);

			CU_ASSERT_FATAL(err == 0 || err == -EAGAIN);
		}
		CU_ASSERT_EQUAL_FATAL(n, 1);
		CU_ASSERT_EQUAL(memcmp(&got, &grant, sizeof(got)), 0);
	}
	CU_ASSERT(!channel_wants_write(&near_end));
	CU_ASSERT_EQUAL(channel_receive(&far_end, &got), 0);
	close_pair();
}

static void a_full_queue_takes_no_magic_either(void)
{
	uint32_t sent;
	int err;

	open_pair();
	fill_until_refused(&sent);
	do
		err = channel_send_magic(&near_end);
	while (!err);
	CU_ASSERT_EQUAL(err, -ENOBUFS);
	close_pair();
}

static void a_wait_ends_at_its_deadline(void)
{
	const uint64_t wait_ns = 30 * 1000000u;
	uint64_t start = clock_ns();
	struct wire_message got;

	open_pair();
	write_raw("\0", 1);
	CU_ASSERT_EQUAL(channel_wait(&near_end, start + wait_ns, &got), -ETIMEDOUT);
	CU_ASSERT(clock_ns() - start >= wait_ns);
	CU_ASSERT_EQUAL(channel_wait(&near_end, 0, &got), -ETIMEDOUT);
	close_pair();
}

static uint64_t soon(void)
{
	return clock_ns() + 10 * UINT64_C(1000000000);
}

/* Answers a RENEW once it comes, and drips the answer. */
static void *answer_slowly(UNUSED void *arg)
{
	static const uint8_t renewed[] = {8, 0, 0, 0, WIRE_RENEWED, 0, 0, 0, 7, 0, 0, 0,
					  0, 0, 0, 0};
	struct wire_message got;

	if (channel_wait(&far_end, soon(), &got) != 1 || got.type != WIRE_RENEW)
		return NULL;
	for (size_t i = 0; i < sizeof(renewed); i++) {
		usleep(500);
		if (write(far_end.fd, renewed + i, 1) != 1)
			return NULL;
	}
	return &far_end;
}

static void a_wait_takes_an_answer_that_drips(void)
{
	struct wire_message renew = {.type = WIRE_RENEW}, got;
	pthread_t thread;
	void *answered;

	open_pair();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, answer_slowly, NULL), 0);
	CU_ASSERT_EQUAL(channel_send(&near_end, &renew), 0);
	CU_ASSERT_EQUAL_FATAL(channel_wait(&near_end, soon(), &got), 1);
	CU_ASSERT_EQUAL(got.type, WIRE_RENEWED);
	CU_ASSERT_EQUAL(got.renewed.slabs_free, 7);
	CU_ASSERT_EQUAL(pthread_join(thread, &answered), 0);
	CU_ASSERT_PTR_EQUAL(answered, &far_end);
	close_pair();
}

/* Reads all that was queued, then answers with BYE. */
static void *read_then_answer(void *arg)
{
	struct wire_message got, bye = {.type = WIRE_BYE};
	uint32_t count = *(uint32_t *)arg;

	while (count--)
		if (channel_wait(&far_end, soon(), &got) != 1)
			return NULL;
	return channel_send(&far_end, &bye) ? NULL : arg;
}

static void a_wait_sends_what_is_queued(void)
{
	struct wire_message got;
	pthread_t thread;
	void *answered;
	uint32_t sent;

	open_pair();
	fill_until_refused(&sent);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, read_then_answer, &sent), 0);
	CU_ASSERT_EQUAL_FATAL(channel_wait(&near_end, soon(), &got), 1);
	CU_ASSERT_EQUAL(got.type, WIRE_BYE);
	CU_ASSERT(!channel_wants_write(&near_end));
	CU_ASSERT_EQUAL(pthread_join(thread, &answered), 0);
	CU_ASSERT_PTR_EQUAL(answered, &sent);
	close_pair();
}

/* A donor that refuses says why and closes: a client that was still sending must hear it. */
static void a_wait_hears_the_last_word_of_a_peer_that_went(void)
{
	struct wire_message error = {.type = WIRE_ERROR, .error = {WIRE_E_BUSY, "full"}}, got;
	uint32_t sent;

	open_pair();
	fill_until_refused(&sent);
	CU_ASSERT_EQUAL(channel_send(&far_end, &error), 0);
	channel_close(&far_end);
	CU_ASSERT_EQUAL(channel_wait(&near_end, soon(), &got), 1);
	CU_ASSERT_EQUAL(got.type, WIRE_ERROR);
	CU_ASSERT_STRING_EQUAL(got.error.text, "full");
	CU_ASSERT_EQUAL(channel_wait(&near_end, soon(), &got), -ECONNRESET);
	close_pair();
}

static void closing_twice_or_nothing_is_allowed(void)
{
	open_pair();
	CU_ASSERT(fcntl(near_end.fd, F_GETFL) & O_NONBLOCK);
	close_pair();
	close_pair();
	channel_close(NULL);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(messages_arrive_in_order),
		SUITE_TEST(a_message_cut_into_bytes_arrives_whole),
		SUITE_TEST(the_magic_goes_before_the_hello),
		SUITE_TEST(garbage_ends_it_for_good),
		SUITE_TEST(an_oversized_length_is_refused_before_its_bytes_come),
		SUITE_TEST(the_end_of_the_stream_is_told_after_the_last_message),
		SUITE_TEST(a_send_to_a_peer_that_went_fails_without_a_signal),
		SUITE_TEST(a_peer_that_does_not_read_is_bounded_and_loses_nothing),
		SUITE_TEST(a_full_queue_takes_no_magic_either),
		SUITE_TEST(a_wait_ends_at_its_deadline),
		SUITE_TEST(a_wait_takes_an_answer_that_drips),
		SUITE_TEST(a_wait_sends_what_is_queued),
		SUITE_TEST(a_wait_hears_the_last_word_of_a_peer_that_went),
		SUITE_TEST(closing_twice_or_nothing_is_allowed),
		SUITE_END,
	};

	return suite_run("channel", tests);
}
