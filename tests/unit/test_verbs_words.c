/* What peers and devices say over verbs: greetings, statuses, events. */
#include "common/transport/verbs_greeting.h"
#include "common/transport/verbs_status.h"
#include "tests/suite.h"

#include <errno.h>

#define PADDED 56 /* of private data in a request, RDMA_PS_TCP */
#define BY_THE_DONOR 28

static void hello_bytes(uint8_t out[PADDED])
{
	struct frame_hello hello = {.version = FRAME_VERSION};

	memset(out, 0, PADDED);
	memset(hello.token, 7, TP_TOKEN_BYTES);
	frame_hello_encode(TP_VERBS_MAGIC, &hello, out);
}

static void a_hello_is_read_with_its_padding(void)
{
	struct frame_hello hello;
	uint8_t bytes[PADDED];

	hello_bytes(bytes);
	CU_ASSERT_EQUAL(memcmp(bytes, "LPVD\1\0\0\0", 8), 0);
	CU_ASSERT_EQUAL(verbs_greeting_hello(bytes, PADDED, &hello), 0);
	CU_ASSERT_EQUAL(hello.version, FRAME_VERSION);
	CU_ASSERT_EQUAL(hello.token[TP_TOKEN_BYTES - 1], 7);
	CU_ASSERT_EQUAL(verbs_greeting_hello(bytes, FRAME_HELLO_BYTES, &hello), 0);
}

static void what_is_no_hello_is_refused(void)
{
	struct frame_hello hello;
	uint8_t bytes[PADDED];
	size_t len;

	hello_bytes(bytes);
	for (len = 0; len < FRAME_HELLO_BYTES; len++)
		CU_ASSERT_EQUAL(verbs_greeting_hello(bytes, len, &hello), -EPROTO);
	bytes[0] ^= 1;
	CU_ASSERT_EQUAL(verbs_greeting_hello(bytes, PADDED, &hello), -EPROTO);
}

static void only_a_welcome_is_an_acceptance(void)
{
	uint8_t bytes[PADDED] = {0};
	size_t len;

	CU_ASSERT_EQUAL(verbs_greeting_accepted(bytes, PADDED), -EPROTO);
	frame_welcome_encode(TP_VERBS_MAGIC, FRAME_OK, bytes);
	CU_ASSERT_EQUAL(verbs_greeting_accepted(bytes, PADDED), 0);
	for (len = 0; len < FRAME_WELCOME_BYTES; len++)
		CU_ASSERT_EQUAL(verbs_greeting_accepted(bytes, len), -EPROTO);
	frame_welcome_encode(TP_VERBS_MAGIC, FRAME_BUSY, bytes);
	CU_ASSERT_EQUAL(verbs_greeting_accepted(bytes, PADDED), -EPROTO);
	frame_welcome_encode(TP_TCP_MAGIC, FRAME_OK, bytes);
	CU_ASSERT_EQUAL(verbs_greeting_accepted(bytes, PADDED), -EPROTO);
}

static void a_rejection_tells_why(void)
{
	static const struct {
		enum frame_status status;
		int err;
	} said[] = {{FRAME_REFUSED, -EACCES},  {FRAME_VERSIONS, -EPROTONOSUPPORT},
		    {FRAME_PROTOCOL, -EPROTO}, {FRAME_BUSY, -EBUSY},
		    {FRAME_MTU, -EMSGSIZE},    {FRAME_OK, -EPROTO}};
	uint8_t bytes[PADDED] = {0};
	unsigned i;

	CU_ASSERT_EQUAL(verbs_greeting_rejected(BY_THE_DONOR, bytes, PADDED), -ECONNRESET);
	CU_ASSERT_EQUAL(verbs_greeting_rejected(BY_THE_DONOR, bytes, 0), -ECONNRESET);
	for (i = 0; i < ARRAY_LEN(said); i++) {
		frame_welcome_encode(TP_VERBS_MAGIC, said[i].status, bytes);
		CU_ASSERT_EQUAL(verbs_greeting_rejected(BY_THE_DONOR, bytes, PADDED), said[i].err);
	}
	/* Whoever else rejects has not read the hello: its bytes do not count. */
	CU_ASSERT_EQUAL(verbs_greeting_rejected(8, bytes, PADDED), -ECONNREFUSED);
	CU_ASSERT_EQUAL(verbs_greeting_rejected(3, bytes, PADDED), -EBUSY);
	CU_ASSERT_EQUAL(verbs_greeting_rejected(4, bytes, PADDED), -ETIMEDOUT);
	CU_ASSERT_EQUAL(verbs_greeting_rejected(-7, bytes, PADDED), -ECONNREFUSED);
	CU_ASSERT_EQUAL(verbs_greeting_rejected(9999, bytes, PADDED), -ECONNREFUSED);
}

static void every_completion_has_an_errno(void)
{
	int status;

	CU_ASSERT_EQUAL(verbs_status_of_completion(IBV_WC_SUCCESS), 0);
	CU_ASSERT_EQUAL(verbs_status_of_completion(IBV_WC_REM_ACCESS_ERR), -EACCES);
	CU_ASSERT_EQUAL(verbs_status_of_completion(IBV_WC_RETRY_EXC_ERR), -ETIMEDOUT);
	CU_ASSERT_EQUAL(verbs_status_of_completion(IBV_WC_WR_FLUSH_ERR), -ECANCELED);
	for (status = 1; status < 64; status++)
		CU_ASSERT(verbs_status_of_completion((enum ibv_wc_status)status) < 0);
}

static void every_event_has_an_errno(void)
{
	int type;

	for (type = 0; type < 32; type++)
		CU_ASSERT(verbs_status_of_event((enum rdma_cm_event_type)type, 8) < 0);
	CU_ASSERT_EQUAL(verbs_status_of_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV), -ENODEV);
	CU_ASSERT_EQUAL(verbs_status_of_event(RDMA_CM_EVENT_UNREACHABLE, 0), -ETIMEDOUT);
	CU_ASSERT_EQUAL(verbs_status_of_event(RDMA_CM_EVENT_DISCONNECTED, 0), -ECONNRESET);
	CU_ASSERT(verbs_status_is_end(RDMA_CM_EVENT_DISCONNECTED));
	CU_ASSERT(verbs_status_is_end(RDMA_CM_EVENT_DEVICE_REMOVAL));
	CU_ASSERT(!verbs_status_is_end(RDMA_CM_EVENT_ESTABLISHED));
	CU_ASSERT(!verbs_status_is_end(RDMA_CM_EVENT_ADDR_CHANGE));
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_hello_is_read_with_its_padding),
		SUITE_TEST(what_is_no_hello_is_refused),
		SUITE_TEST(only_a_welcome_is_an_acceptance),
		SUITE_TEST(a_rejection_tells_why),
		SUITE_TEST(every_completion_has_an_errno),
		SUITE_TEST(every_event_has_an_errno),
		SUITE_END,
	};

	return suite_run("verbs words", tests);
}
