/*
 * What strangers and broken clients get from the verbs server: a refusal that says why, nothing
 * that is not theirs, and no session or descriptor that stays.
 */
#include "tests/contract/hostile.h"

#include "common/base/clock.h"
#include "common/transport/verbs_cm.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct variant verbs = {"verbs", TP_VERBS, false};

/* A client that says what it likes. */
struct stranger {
	const struct verbs_lib *lib;
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
};

static void stranger_come(struct stranger *stranger, const struct tp_target *target)
{
	struct addrinfo *address;
	char service[8];

	snprintf(service, sizeof(service), "%u", target->port);
	CU_ASSERT_EQUAL_FATAL(verbs_lib_load(&stranger->lib), 0);
	CU_ASSERT_EQUAL_FATAL(verbs_cm_channel(stranger->lib, &stranger->events), 0);
	CU_ASSERT_EQUAL_FATAL(
		stranger->lib->create_id(stranger->events, &stranger->id, NULL, RDMA_PS_TCP), 0);
	CU_ASSERT_EQUAL_FATAL(getaddrinfo(target->host, service, NULL, &address), 0);
	CU_ASSERT_EQUAL_FATAL(
		verbs_cm_resolve(stranger->lib, stranger->id, address->ai_addr, hostile_soon()), 0);
	freeaddrinfo(address);
}

static void stranger_go(struct stranger *stranger)
{
	stranger->lib->destroy_id(stranger->id);
	stranger->lib->destroy_event_channel(stranger->events);
}

/* Asks to be connected, and what comes of it. The queue pair does not exist. */
static int stranger_ask(struct stranger *stranger, const void *bytes, size_t len)
{
	struct rdma_conn_param param = {
		.private_data = bytes,
		.private_data_len = (uint8_t)len,
		.responder_resources = 1,
		.initiator_depth = 255,
		.retry_count = 7,
		.qp_num = 0xfffffe,
	};
	struct verbs_event event;

	CU_ASSERT_EQUAL_FATAL(stranger->lib->connect(stranger->id, &param), 0);
	return verbs_cm_await(stranger->lib, stranger->events, RDMA_CM_EVENT_CONNECT_RESPONSE,
			      hostile_soon(), &event);
}

static int answer_to(const struct donor *donor, const void *bytes, size_t len)
{
	const struct tp_target target = donor_target(donor, 0);
	struct stranger stranger;
	int err;

	stranger_come(&stranger, &target);
	err = stranger_ask(&stranger, bytes, len);
	stranger_go(&stranger);
	return err;
}

static void hello_bytes(const struct donor *donor, uint8_t out[FRAME_HELLO_BYTES])
{
	const struct tp_target target = donor_target(donor, 0);
	struct frame_hello hello = {.version = FRAME_VERSION};

	memcpy(hello.token, target.token, TP_TOKEN_BYTES);
	frame_hello_encode(TP_VERBS_MAGIC, &hello, out);
}

static void a_garbled_hello_is_refused(void)
{
	static const struct {
		unsigned at;
		int err;
	} wrong[] = {
		{0, -EPROTO}, {3, -EPROTO}, {4, -EPROTONOSUPPORT},	     {5, -EPROTONOSUPPORT},
		{6, -EPROTO}, {8, -EACCES}, {FRAME_HELLO_BYTES - 1, -EACCES}};
	struct donor *donor = hostile_donor(&verbs);
	uint8_t hello[FRAME_HELLO_BYTES];
	unsigned i;

	hello_bytes(donor, hello);
	CU_ASSERT_EQUAL(answer_to(donor, hello, sizeof(hello)), 0);
	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		hello_bytes(donor, hello);
		hello[wrong[i].at] ^= 0x40;
		CU_ASSERT_EQUAL(answer_to(donor, hello, sizeof(hello)), wrong[i].err);
	}
	CU_ASSERT_EQUAL(answer_to(donor, NULL, 0), -EPROTO);
	CU_ASSERT_EQUAL(answer_to(donor, hello, 8), -EACCES); /* the rest is zeros */
	CU_ASSERT_EQUAL(donor_stats(donor).refused, ARRAY_LEN(wrong) + 2);
	hostile_check_others(donor);
	donor_stop(donor);
}

/* Accepted, and gone without having said that it has heard so. */
static void who_is_accepted_and_leaves_is_forgotten(void)
{
	struct donor *donor = hostile_donor(&verbs);
	uint8_t hello[FRAME_HELLO_BYTES];
	uint64_t deadline = hostile_soon();
	unsigned i;

	hello_bytes(donor, hello);
	for (i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(answer_to(donor, hello, sizeof(hello)), 0);
	while (donor_stats(donor).connections && clock_ns() < deadline)
		usleep(1000);
	CU_ASSERT_EQUAL(donor_stats(donor).connections, 0);
	hostile_check_others(donor);
	donor_stop(donor);
}

static void strangers_leave_nothing_behind(void)
{
	struct donor *donor = hostile_donor(&verbs);
	uint8_t hello[FRAME_HELLO_BYTES];
	unsigned i, before;

	hello_bytes(donor, hello);
	hello[FRAME_HELLO_BYTES - 1] ^= 1;
	CU_ASSERT_EQUAL(answer_to(donor, hello, sizeof(hello)), -EACCES);
	hostile_check_others(donor);
	before = hostile_descriptors_at_rest(donor);
	for (i = 0; i < 50; i++)
		CU_ASSERT_EQUAL(answer_to(donor, hello, sizeof(hello)), -EACCES);
	hostile_check_others(donor);
	CU_ASSERT(hostile_descriptors_become(before));
	donor_stop(donor);
}

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(a_garbled_hello_is_refused),
		SUITE_TEST(who_is_accepted_and_leaves_is_forgotten),
		SUITE_TEST(strangers_leave_nothing_behind),
		SUITE_END,
	};

	suite_set_inactive(tests, contract_no_verbs());
	return suite_run("hostile clients over verbs", tests);
}
