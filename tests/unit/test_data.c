/* One data connection of a lane, on a transport that does what it is told: no network. */
#include "common/transport/ops.h"
#include "pager/data.h"
#include "tests/suite.h"

#include <errno.h>
#include <string.h>

#define MOST 64u

/* A connection whose requests complete when the test says so. */
struct fake {
	struct tp_conn base;
	int error;		      /* that has ended it; 0: it lives */
	unsigned posted;	      /* ever accepted */
	unsigned completed;	      /* of those, reported */
	unsigned good;		      /* so many of the accepted ones may be reported as done */
	struct tp_request wait[MOST]; /* accepted, in order */
	bool is_closed;
};

static struct fake first, second;
static struct verdict verdict;
static struct data data;
static unsigned wakes;

static struct fake *fake_of(const struct tp_conn *conn)
{
	return CONTAINER_OF((struct tp_conn *)(uintptr_t)conn, struct fake, base);
}

static int fake_post(struct tp_conn *conn, const struct tp_request *requests, unsigned n)
{
	struct fake *fake = fake_of(conn);

	if (fake->error)
		return fake->error;
	memcpy(&fake->wait[fake->posted], requests, n * sizeof(*requests));
	fake->posted += n;
	return (int)n;
}

/* First those that are done; then, once it has ended, the cause for one and cancelled for the rest.
 */
static int fake_poll(struct tp_conn *conn, struct tp_completion *out, unsigned max)
{
	struct fake *fake = fake_of(conn);
	unsigned n = 0;

	for (; n < max && fake->completed < fake->posted; fake->completed++) {
		bool is_good = fake->completed < fake->good;

		if (!is_good && !fake->error)
			break;
		out[n].cookie = fake->wait[fake->completed].cookie;
		out[n++].status = is_good			  ? 0
				  : fake->completed == fake->good ? fake->error
								  : -ECANCELED;
	}
	return (int)n;
}

static int fake_arm(struct tp_conn *conn, int *fd, short *events)
{
	*fd = 0;
	*events = 0;
	return fake_of(conn)->error;
}

static int fake_error(const struct tp_conn *conn)
{
	return fake_of(conn)->error;
}

static void fake_disconnect(struct tp_conn *conn)
{
	fake_of(conn)->is_closed = true;
}

static const struct tp_client_ops fake_ops = {
	.disconnect = fake_disconnect,
	.post = fake_post,
	.poll = fake_poll,
	.arm = fake_arm,
	.error = fake_error,
};

static void count_wake(void *arg UNUSED)
{
	wakes++;
}

static void begin(bool may_switch)
{
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	memset(&data, 0, sizeof(data));
	first.base.ops = second.base.ops = &fake_ops;
	verdict = (struct verdict){.wake = count_wake};
	wakes = 0;
	CU_ASSERT_EQUAL_FATAL(data_init(&data, &verdict), 0);
	data_open(&data, &first.base);
	data_allow_switch(&data, may_switch);
}

static void end(void)
{
	if (data.conn && !fake_of(data.conn)->is_closed)
		CU_ASSERT_TRUE(data_shut(&data));
	data_destroy(&data);
}

/* Posts n requests with cookies from 100 and handle 7. Returns what data_post() says. */
static int post(unsigned n)
{
	struct tp_request requests[MOST];
	int got;

	for (unsigned i = 0; i < n; i++)
		requests[i] = (struct tp_request){
			.op = TP_WRITE, .handle = 7, .offset = i, .bytes = 1, .cookie = 100 + i};
	if (!data_enter(&data))
		return -ENOENT;
	got = data_post(&data, requests, n);
	data_leave(&data);
	return got;
}

/* Handle 7 is 70 on the second connection. */
static uint32_t ten_times(void *arg UNUSED, uint32_t handle)
{
	return handle * 10;
}

static void go_on_with_second(void)
{
	data_switch_begin(&data);
	CU_ASSERT_TRUE(data_shut(&data));
	CU_ASSERT_TRUE(first.is_closed);
	data_reopen(&data, &second.base, ten_times, NULL);
}

static void an_end_is_a_verdict_where_no_switch_is_allowed(void)
{
	struct store_done done[MOST];

	begin(false);
	CU_ASSERT_EQUAL(post(3), 3);
	first.good = 1;
	first.error = -ECONNRESET;
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 3);
	CU_ASSERT_EQUAL(verdict_of(&verdict), -ECONNRESET);
	CU_ASSERT_EQUAL(done[2].status, -ECONNRESET);
	CU_ASSERT_EQUAL(data_trouble(&data), 0);
	end();
}

static void an_end_is_trouble_where_a_switch_is_allowed(void)
{
	struct store_done done[MOST];

	begin(true);
	CU_ASSERT_EQUAL(post(3), 3);
	first.good = 1;
	first.error = -ETIMEDOUT;
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 1);
	CU_ASSERT_EQUAL(done[0].status, 0);
	CU_ASSERT_EQUAL(done[0].cookie, 100);
	CU_ASSERT_EQUAL(verdict_of(&verdict), 0);
	CU_ASSERT_EQUAL(data_trouble(&data), -ETIMEDOUT);
	CU_ASSERT_EQUAL(wakes, 1);
	CU_ASSERT_FALSE(data_is_idle(&data));
	end();
}

static void a_lane_waits_while_connections_are_exchanged(void)
{
	struct store_done done[MOST];
	short events;
	int fd;

	begin(true);
	CU_ASSERT_EQUAL(post(2), 2);
	first.error = -ETIMEDOUT;
	CU_ASSERT_EQUAL(post(1), 0);
	CU_ASSERT_EQUAL(data_trouble(&data), -ETIMEDOUT);
	CU_ASSERT_EQUAL(data_arm(&data, &fd, &events), -ENOENT);
	data_switch_begin(&data);
	CU_ASSERT_TRUE(data_shut(&data));
	CU_ASSERT_TRUE(data_is_switching(&data));
	CU_ASSERT_EQUAL(post(1), -ENOENT);
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 0);
	CU_ASSERT_EQUAL(data_arm(&data, &fd, &events), -ENOENT);
	CU_ASSERT_FALSE(data_is_idle(&data));
	data_switch_give_up(&data);
	end();
}

static void what_was_in_flight_comes_again_once(void)
{
	struct store_done done[MOST];
	unsigned char seen[5] = {0};
	unsigned n;

	begin(true);
	CU_ASSERT_EQUAL(post(5), 5);
	first.good = 2;
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 2);
	first.error = -ETIMEDOUT; /* one is reported as failed, two are not even that */
	CU_ASSERT_EQUAL(data_poll(&data, done, 1), 0);
	go_on_with_second();
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 0);
	CU_ASSERT_EQUAL(second.posted, 3);
	for (unsigned i = 0; i < second.posted; i++) {
		CU_ASSERT_EQUAL(second.wait[i].handle, 70);
		CU_ASSERT_FATAL(second.wait[i].offset < 5);
		seen[second.wait[i].offset]++;
	}
	CU_ASSERT_EQUAL(memcmp(seen, "\0\0\1\1\1", 5), 0);
	second.good = 3;
	n = data_poll(&data, done, MOST);
	CU_ASSERT_EQUAL(n, 3);
	for (unsigned i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(done[i].status, 0);
		CU_ASSERT(done[i].cookie >= 102 && done[i].cookie <= 104);
	}
	CU_ASSERT_TRUE(data_is_idle(&data));
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 0);
	CU_ASSERT_EQUAL(second.posted, 3);
	end();
}

static void new_requests_go_to_the_new_connection(void)
{
	begin(true);
	first.error = -ETIMEDOUT;
	CU_ASSERT_EQUAL(post(1), 0);
	go_on_with_second();
	CU_ASSERT_EQUAL(data_trouble(&data), 0);
	CU_ASSERT_EQUAL(post(4), 4);
	CU_ASSERT_EQUAL(second.posted, 4);
	CU_ASSERT_EQUAL(second.wait[0].handle, 7);
	second.error = -ECONNRESET;
	end();
}

static void without_another_connection_all_of_it_fails(void)
{
	struct store_done done[MOST];
	unsigned n;

	begin(true);
	CU_ASSERT_EQUAL(post(3), 3);
	first.error = -ETIMEDOUT;
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 0);
	data_switch_begin(&data);
	CU_ASSERT_TRUE(data_shut(&data));
	verdict_pass(&verdict, -ECONNREFUSED);
	data_switch_give_up(&data);
	n = data_poll(&data, done, MOST);
	CU_ASSERT_EQUAL(n, 3);
	for (unsigned i = 0; i < n; i++)
		CU_ASSERT_EQUAL(done[i].status, -ECONNREFUSED);
	CU_ASSERT_TRUE(data_is_idle(&data));
	end();
}

static void after_a_verdict_nothing_is_mere_trouble(void)
{
	struct store_done done[MOST];

	begin(true);
	CU_ASSERT_EQUAL(post(1), 1);
	verdict_pass(&verdict, -ETIMEDOUT);
	first.error = -ECONNRESET;
	CU_ASSERT_EQUAL(data_poll(&data, done, MOST), 1);
	CU_ASSERT_EQUAL(done[0].status, -ETIMEDOUT);
	CU_ASSERT_EQUAL(data_trouble(&data), 0);
	end();
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(an_end_is_a_verdict_where_no_switch_is_allowed),
		SUITE_TEST(an_end_is_trouble_where_a_switch_is_allowed),
		SUITE_TEST(a_lane_waits_while_connections_are_exchanged),
		SUITE_TEST(what_was_in_flight_comes_again_once),
		SUITE_TEST(new_requests_go_to_the_new_connection),
		SUITE_TEST(without_another_connection_all_of_it_fails),
		SUITE_TEST(after_a_verdict_nothing_is_mere_trouble),
		SUITE_END,
	};

	return suite_run("data", tests);
}
