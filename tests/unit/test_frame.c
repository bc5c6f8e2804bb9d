#include "common/transport/frame.h"
#include "common/transport/shm_frame.h"
#include "common/transport/tcp_frame.h"
#include "tests/suite.h"

#include <errno.h>

/* The layouts drawn in the headers, byte by byte: other hosts run other builds. */
static void hello_and_welcome_are_drawn_as_documented(void)
{
	static const uint8_t hello_bytes[FRAME_HELLO_BYTES] = {'L', 'P', 'T', 'D', 1,  0,  0,  0,
							       1,   2,	 3,   4,   5,  6,  7,  8,
							       9,   10,	 11,  12,  13, 14, 15, 16};
	static const uint8_t welcome_bytes[FRAME_WELCOME_BYTES] = {'L', 'P', 'S', 'D', 1, 0, 4, 0};
	struct frame_hello hello = {.version = 1}, back;
	uint8_t out[FRAME_HELLO_BYTES];

	memcpy(hello.token, hello_bytes + 8, TP_TOKEN_BYTES);
	frame_hello_encode(TP_TCP_MAGIC, &hello, out);
	CU_ASSERT_EQUAL(memcmp(out, hello_bytes, sizeof(out)), 0);
	CU_ASSERT_EQUAL(frame_hello_decode(TP_TCP_MAGIC, out, &back), 0);
	CU_ASSERT_EQUAL(back.version, 1);
	CU_ASSERT_EQUAL(memcmp(back.token, hello.token, TP_TOKEN_BYTES), 0);
	CU_ASSERT_EQUAL(frame_hello_decode(TP_SHM_MAGIC, out, &back), -EPROTO);
	frame_welcome_encode(TP_SHM_MAGIC, FRAME_BUSY, out);
	CU_ASSERT_EQUAL(memcmp(out, welcome_bytes, sizeof(welcome_bytes)), 0);
	CU_ASSERT_EQUAL(frame_welcome_decode(TP_SHM_MAGIC, out), -EBUSY);
	CU_ASSERT_EQUAL(frame_welcome_decode(TP_TCP_MAGIC, out), -EPROTO);
}

static void every_status_has_an_errno(void)
{
	unsigned i;

	CU_ASSERT_EQUAL(frame_status_errno(FRAME_OK), 0);
	for (i = 1; i < FRAME_STATUSES; i++)
		CU_ASSERT(frame_status_errno(i) < 0);
	CU_ASSERT_EQUAL(frame_status_errno(FRAME_REFUSED), -EACCES);
	CU_ASSERT_EQUAL(frame_status_errno(FRAME_STATUSES), -EPROTO);
	CU_ASSERT_EQUAL(frame_status_errno(UINT32_MAX), -EPROTO);
}

static void a_request_is_drawn_as_documented(void)
{
	static const uint8_t bytes[TCP_REQUEST_BYTES] = {
		'L',  'Q',  2,	  0,	4,    3,    2,	  0,	0x18, 0x17, 0x16,
		0x15, 0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23,
		0x22, 0x21, 8,	  7,	6,    5,    4,	  3,	2,    1};
	const struct tcp_request request = {
		.op = TCP_WRITE,
		.bytes = 0x20304,
		.key = 0x1112131415161718,
		.offset = 0x2122232425262728,
		.cookie = 0x0102030405060708,
	};
	uint8_t out[TCP_REQUEST_BYTES];
	struct tcp_request back;

	tcp_request_encode(&request, out);
	CU_ASSERT_EQUAL(memcmp(out, bytes, sizeof(out)), 0);
	CU_ASSERT_EQUAL(tcp_request_decode(out, &back), 0);
	CU_ASSERT_EQUAL(back.op, request.op);
	CU_ASSERT_EQUAL(back.bytes, request.bytes);
	CU_ASSERT_EQUAL(back.key, request.key);
	CU_ASSERT_EQUAL(back.offset, request.offset);
	CU_ASSERT_EQUAL(back.cookie, request.cookie);
}

static int decode_changed(unsigned at, uint8_t value)
{
	struct tcp_request request = {.op = TCP_READ, .bytes = 1};
	uint8_t bytes[TCP_REQUEST_BYTES];

	tcp_request_encode(&request, bytes);
	bytes[at] = value;
	return tcp_request_decode(bytes, &request);
}

static void a_request_that_nobody_sends_is_refused(void)
{
	CU_ASSERT_EQUAL(decode_changed(4, 1), 0);
	CU_ASSERT_EQUAL(decode_changed(0, 'M'), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(1, 'R'), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(2, 0), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(2, 3), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(3, 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(4, 0), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(6, 4), -EPROTO); /* TP_MAX_BYTES and one */
	CU_ASSERT_EQUAL(decode_changed(7, 0xff), -EPROTO);
}

static void a_reply_is_drawn_as_documented(void)
{
	static const uint8_t bytes[TCP_REPLY_BYTES] = {'L', 'R', 1, 0, 0, 0, 4, 0,
						       8,   7,	 6, 5, 4, 3, 2, 1};
	struct tcp_reply reply = {
		.status = FRAME_REFUSED, .bytes = TP_MAX_BYTES, .cookie = 0x0102030405060708};
	uint8_t out[TCP_REPLY_BYTES];
	struct tcp_reply back;

	tcp_reply_encode(&reply, out);
	CU_ASSERT_EQUAL(memcmp(out, bytes, sizeof(out)), 0);
	CU_ASSERT_EQUAL(tcp_reply_decode(out, &back), 0);
	CU_ASSERT_EQUAL(back.status, reply.status);
	CU_ASSERT_EQUAL(back.bytes, reply.bytes);
	CU_ASSERT_EQUAL(back.cookie, reply.cookie);
	out[4] = 1;
	CU_ASSERT_EQUAL(tcp_reply_decode(out, &back), -EPROTO);
	out[4] = 0;
	out[1] = 'Q';
	CU_ASSERT_EQUAL(tcp_reply_decode(out, &back), -EPROTO);
}

static void questions_and_answers_are_drawn_as_documented(void)
{
	static const uint8_t question_bytes[SHM_QUESTION_BYTES] = {2, 0, 0, 0, 0, 0, 0, 0,
								   9, 8, 0, 0, 0, 0, 0, 0};
	static const uint8_t answer_bytes[SHM_ANSWER_BYTES] = {1, 0, 0, 0, 0, 0, 0, 0,
							       0, 0, 0, 1, 0, 0, 0, 0};
	const struct shm_question question = {.op = SHM_UNMAP, .key = 0x809};
	const struct shm_answer answer = {.status = FRAME_REFUSED, .bytes = 1 << 24};
	struct shm_question asked;
	struct shm_answer answered;
	uint8_t out[16];

	shm_question_encode(&question, out);
	CU_ASSERT_EQUAL(memcmp(out, question_bytes, sizeof(out)), 0);
	CU_ASSERT_EQUAL(shm_question_decode(out, &asked), 0);
	CU_ASSERT_EQUAL(asked.op, SHM_UNMAP);
	CU_ASSERT_EQUAL(asked.key, 0x809);
	out[0] = 3;
	CU_ASSERT_EQUAL(shm_question_decode(out, &asked), -EPROTO);
	out[0] = 2;
	out[7] = 1;
	CU_ASSERT_EQUAL(shm_question_decode(out, &asked), -EPROTO);
	shm_answer_encode(&answer, out);
	CU_ASSERT_EQUAL(memcmp(out, answer_bytes, sizeof(out)), 0);
	CU_ASSERT_EQUAL(shm_answer_decode(out, &answered), 0);
	CU_ASSERT_EQUAL(answered.status, FRAME_REFUSED);
	CU_ASSERT_EQUAL(answered.bytes, 1 << 24);
	out[4] = 1;
	CU_ASSERT_EQUAL(shm_answer_decode(out, &answered), -EPROTO);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(hello_and_welcome_are_drawn_as_documented),
		SUITE_TEST(every_status_has_an_errno),
		SUITE_TEST(a_request_is_drawn_as_documented),
		SUITE_TEST(a_request_that_nobody_sends_is_refused),
		SUITE_TEST(a_reply_is_drawn_as_documented),
		SUITE_TEST(questions_and_answers_are_drawn_as_documented),
		SUITE_END,
	};

	return suite_run("frame", tests);
}
