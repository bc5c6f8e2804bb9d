/*
 * What the store promises when donors are bad: killed, stopped, frozen, away, late, strangers.
 * Every io completes once, each loss is told once, and every line says what is wrong with whom.
 */
#include "pager/store.h"

#include "common/base/clock.h"
#include "common/wire/channel.h"
#include "tests/contract/borrower.h"
#include "tests/contract/lender.h"
#include "tests/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

static struct lender lender;
static struct borrower borrower;

static bool has_lost(struct borrower *it)
{
	return it->lost > 0;
}

static bool is_up(struct borrower *it)
{
	return borrower_stats(it)->donors[0].state == STATS_DONOR_UP;
}

/* As many reads of 64 pages as the store takes, none of them polled for. */
static unsigned read_much(const uint32_t *slots, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (!borrower_post(&borrower, STORE_READS, slots[i], 1, i))
			break;
	}
	return i;
}

/* ---- a donor that goes while it is used ---- */

static void ios_of_a_killed_donor_complete_once(enum config_transport transport)
{
	uint32_t slots[600];
	unsigned posted;

	lender_start(&lender, &(struct lender_options){.lease = NULL});
	borrower_open(&borrower, lender.address, transport);
	borrower_take(&borrower, 600, slots);
	borrower_write(&borrower, slots, 600, 1);
	lender_signal(&lender, SIGSTOP); /* so that some are in flight when it dies */
	posted = read_much(slots, 600);
	CU_ASSERT(posted > 0);
	lender_signal(&lender, SIGKILL);
	CU_ASSERT_TRUE(borrower_drain(&borrower, STORE_READS));
	CU_ASSERT_TRUE(borrower_tick(&borrower, 3000, has_lost));
	borrower_tick(&borrower, 100, NULL);
	CU_ASSERT_EQUAL(borrower.lost, 1);
	CU_ASSERT(borrower.wakes > 0);
	CU_ASSERT_STRING_EQUAL(borrower.lost_donor, lender.address);
	CU_ASSERT_STRING_EQUAL(borrower.lost_why, "connection reset by peer");
	CU_ASSERT_FALSE(store_slot_alive(borrower.store, slots[0]));
	CU_ASSERT_EQUAL(store_slots_free(borrower.store), 0);
	CU_ASSERT_TRUE(store_is_full(borrower.store));
	CU_ASSERT_EQUAL(borrower_stats(&borrower)->donors[0].state, STATS_DONOR_LOST);
	CU_ASSERT_EQUAL(borrower_stats(&borrower)->donors[0].slabs, 0);

	borrower.failed = 0; /* and what comes later fails too */
	CU_ASSERT_EQUAL(read_much(slots, 100), 100);
	CU_ASSERT_TRUE(borrower_drain(&borrower, STORE_READS));
	CU_ASSERT_EQUAL(borrower.failed, 100);
	borrower_close(&borrower);
	lender_stop(&lender);
}

static void a_killed_donor_is_lost_once_over_tcp(void)
{
	ios_of_a_killed_donor_complete_once(CONFIG_TCP);
}

static void a_killed_donor_is_lost_once_over_shm(void)
{
	ios_of_a_killed_donor_complete_once(CONFIG_SHM);
}

static void a_frozen_donor_is_lost_with_its_lease(void)
{
	uint32_t slots[300];
	unsigned posted;

	lender_start(&lender, &(struct lender_options){.lease = "1s", .renew = "300ms"});
	borrower_open(&borrower, lender.address, CONFIG_TCP);
	borrower_take(&borrower, 300, slots);
	borrower_write(&borrower, slots, 300, 1);
	lender_signal(&lender, SIGSTOP);
	posted = read_much(slots, 300);
	CU_ASSERT_EQUAL(posted, 256);
	CU_ASSERT_FALSE(borrower_tick(&borrower, 500, has_lost));
	CU_ASSERT_TRUE(borrower_drain(&borrower, STORE_READS));
	CU_ASSERT_EQUAL(borrower.failed, posted);
	CU_ASSERT_EQUAL(borrower.failed_with, -ETIMEDOUT);
	CU_ASSERT_EQUAL(borrower.lost, 1);
	CU_ASSERT_STRING_EQUAL(borrower.lost_why, "silent for 1000 ms, so its leases are over");
	borrower_close(&borrower);
	lender_stop(&lender);
}

static void a_donor_that_stops_says_so(void)
{
	lender_start(&lender, &(struct lender_options){.lease = NULL});
	borrower_open(&borrower, lender.address, CONFIG_TCP);
	lender_signal(&lender, SIGTERM);
	CU_ASSERT_TRUE(borrower_tick(&borrower, 5000, has_lost));
	CU_ASSERT_EQUAL(strncmp(borrower.lost_why, "it says: ", 9), 0);
	CU_ASSERT_EQUAL(borrower.lost, 1);
	borrower_close(&borrower);
	lender_stop(&lender);
}

static void the_other_donor_goes_on(void)
{
	uint32_t slots[400], more[100];
	struct lender other;
	char donors[300];
	unsigned i, dead = 0, wrong = 0;

	lender_start(&lender, &(struct lender_options){.lease = NULL});
	lender_start(&other, &(struct lender_options){.lease = NULL});
	snprintf(donors, sizeof(donors), "%s,%s", lender.address, other.address);
	borrower_open(&borrower, donors, CONFIG_AUTO);
	borrower_take(&borrower, 400, slots);
	borrower_write(&borrower, slots, 400, 5);
	lender_signal(&lender, SIGKILL);
	CU_ASSERT_TRUE(borrower_tick(&borrower, 3000, has_lost));
	for (i = 0; i < 400; i++) {
		if (!store_slot_alive(borrower.store, slots[i]))
			dead++;
		else
			wrong += borrower_check(&borrower, &slots[i], 1, 5);
		store_slot_give(borrower.store, slots[i]);
	}
	CU_ASSERT(dead > 100 && dead < 300);
	CU_ASSERT_EQUAL(wrong, 0);
	borrower_take(&borrower, 100, more);
	borrower_write(&borrower, more, 100, 6);
	CU_ASSERT_EQUAL(borrower_check(&borrower, more, 100, 6), 0);
	CU_ASSERT_EQUAL(borrower.failed, 0);
	CU_ASSERT_EQUAL(borrower.lost, 1);
	borrower_close(&borrower);
	lender_stop(&lender);
	lender_stop(&other);
}

static void a_donor_that_comes_back_is_used_again(void)
{
	struct lender_options again = {.lease = NULL};
	uint32_t old, fresh[300];

	lender_start(&lender, &again);
	again.port = lender.port;
	borrower_open(&borrower, lender.address, CONFIG_TCP);
	borrower_take(&borrower, 1, &old);
	lender_stop(&lender);
	CU_ASSERT_TRUE(borrower_tick(&borrower, 3000, has_lost));
	lender_start(&lender, &again);
	CU_ASSERT_TRUE(borrower_tick(&borrower, 6000, is_up));
	borrower_take(&borrower, 300, fresh);
	borrower_write(&borrower, fresh, 300, 8);
	CU_ASSERT_EQUAL(borrower_check(&borrower, fresh, 300, 8), 0);
	CU_ASSERT_FALSE(store_slot_alive(borrower.store, old));
	CU_ASSERT_EQUAL(borrower.failed, 0);
	CU_ASSERT_TRUE(borrower_post(&borrower, STORE_READS, old, 1, 0));
	CU_ASSERT_TRUE(borrower_drain(&borrower, STORE_READS));
	CU_ASSERT_EQUAL(borrower.failed_with, -ECONNRESET);
	borrower_close(&borrower);
	lender_stop(&lender);
}

/* ---- a donor that cannot be reached ---- */

static void expect_line(const char *donors, enum config_transport transport, const char *line)
{
	borrower_open(&borrower, donors, transport);
	CU_ASSERT_EQUAL(borrower.opened, -EHOSTUNREACH);
	CU_ASSERT_EQUAL(borrower_lines(line), 1);
	CU_ASSERT_EQUAL(borrower_lines("cannot be used"), 1);
	CU_ASSERT_EQUAL(borrower.lost, 0);
	CU_ASSERT_EQUAL(store_slots_free(borrower.store), 0);
	CU_ASSERT_TRUE(store_is_full(borrower.store));
	borrower_close(&borrower);
}

static void a_donor_that_is_not_there_is_named_with_the_cause(void)
{
	char address[32], line[100];

	snprintf(address, sizeof(address), "127.0.0.1:%u", lender_free_port());
	snprintf(line, sizeof(line), "donor %s cannot be used: connection refused", address);
	expect_line(address, CONFIG_AUTO, line);
	CU_ASSERT(borrower.open_ns < 500 * NS_PER_MS);
	expect_line("unix:/nowhere/sock", CONFIG_AUTO,
		    "donor unix:/nowhere/sock cannot be used: no such file or directory");
	expect_line("no-such-host.invalid", CONFIG_AUTO,
		    "donor no-such-host.invalid cannot be used: ");
}

static void a_transport_that_cannot_be_is_explained(void)
{
	char line[300];

	lender_start(&lender, &(struct lender_options){.lease = NULL});
	snprintf(line, sizeof(line),
		 "donor %s cannot be used: a Unix socket is of use over shm only, and the "
		 "transport is tcp",
		 lender.local);
	expect_line(lender.local, CONFIG_TCP, line);
	lender_stop(&lender);
	lender_start(&lender, &(struct lender_options){.is_remote = true});
	snprintf(line, sizeof(line),
		 "donor %s cannot be used: it has no local socket (donord --local-socket), and "
		 "the transport is shm",
		 lender.address);
	expect_line(lender.address, CONFIG_SHM, line);
	lender_stop(&lender);
}

static void a_donor_that_comes_late_is_used(void)
{
	struct lender_options late = {.port = lender_free_port()};
	char address[32];
	uint32_t slots[100];

	snprintf(address, sizeof(address), "127.0.0.1:%u", late.port);
	borrower_open(&borrower, address, CONFIG_AUTO);
	CU_ASSERT_EQUAL(borrower.opened, -EHOSTUNREACH);
	CU_ASSERT_FALSE(borrower_tick(&borrower, 3000, is_up));
	CU_ASSERT_EQUAL(borrower_lines("cannot be used"), 1); /* not for each attempt */
	lender_start(&lender, &late);
	CU_ASSERT_TRUE(borrower_tick(&borrower, 6000, is_up));
	borrower_take(&borrower, 100, slots);
	borrower_write(&borrower, slots, 100, 9);
	CU_ASSERT_EQUAL(borrower_check(&borrower, slots, 100, 9), 0);
	borrower_close(&borrower);
	lender_stop(&lender);
}

/* ---- something that listens, and is no donor as we know it ---- */

struct stranger {
	int fd;
	char address[32];
	pthread_t thread;
	void (*answer)(int fd);
};

static void *strange(void *arg)
{
	struct stranger *stranger = arg;
	int fd;

	while ((fd = accept(stranger->fd, NULL, NULL)) >= 0) {
		stranger->answer(fd);
		close(fd);
	}
	return NULL;
}

static void stranger_start(struct stranger *stranger, void (*answer)(int fd))
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	stranger->answer = answer;
	stranger->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(stranger->fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(stranger->fd, (struct sockaddr *)&address, len), 0);
	CU_ASSERT_EQUAL_FATAL(listen(stranger->fd, 8), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(stranger->fd, (struct sockaddr *)&address, &len), 0);
	snprintf(stranger->address, sizeof(stranger->address), "127.0.0.1:%u",
		 ntohs(address.sin_port));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&stranger->thread, NULL, strange, stranger), 0);
}

static void stranger_stop(struct stranger *stranger)
{
	shutdown(stranger->fd, SHUT_RDWR);
	pthread_join(stranger->thread, NULL);
	close(stranger->fd);
}

static void expect_of(void (*answer)(int fd), const char *why)
{
	struct stranger stranger;
	char line[300];

	stranger_start(&stranger, answer);
	snprintf(line, sizeof(line), "donor %s cannot be used: %s", stranger.address, why);
	expect_line(stranger.address, CONFIG_AUTO, line);
	CU_ASSERT(borrower.open_ns < 1500 * NS_PER_MS);
	stranger_stop(&stranger);
}

static void send_message(int fd, const struct wire_message *message)
{
	static uint8_t frame[WIRE_MAX_FRAME];
	uint8_t hello[4 + WIRE_MAX_FRAME];
	int len = wire_encode(message, frame, sizeof(frame));

	CU_ASSERT_FATAL(len > 0);
	CU_ASSERT(recv(fd, hello, sizeof(hello), 0) > 0);
	CU_ASSERT_EQUAL(send(fd, frame, (size_t)len, MSG_NOSIGNAL), len);
	while (recv(fd, hello, sizeof(hello), 0) > 0) /* until it hangs up */
		;
}

static void speak_version_9(int fd)
{
	const struct wire_message message = {
		.type = WIRE_WELCOME,
		.welcome = {.version = 9, .lease_ms = 2, .renew_ms = 1, .slab_bytes = 1 << 20},
	};

	send_message(fd, &message);
}

static void refuse_version_1(int fd)
{
	const struct wire_message message = {
		.type = WIRE_ERROR,
		.error = {.code = WIRE_E_VERSION, .text = "versions 2 to 3 are spoken here"},
	};

	send_message(fd, &message);
}

static void be_busy(int fd)
{
	const struct wire_message message = {
		.type = WIRE_ERROR,
		.error = {.code = WIRE_E_BUSY, .text = "too many sessions"},
	};

	send_message(fd, &message);
}

static void hurry(int fd)
{
	const struct wire_message message = {
		.type = WIRE_WELCOME,
		.welcome = {.version = WIRE_VERSION,
			    .lease_ms = 200,
			    .renew_ms = 300,
			    .slab_bytes = 1 << 20},
	};

	send_message(fd, &message);
}

static void talk_of_something_else(int fd)
{
	static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

	CU_ASSERT(send(fd, text, strlen(text), MSG_NOSIGNAL) > 0);
	usleep(100000);
}

static void hang_up(int fd)
{
	char hello[1000];

	CU_ASSERT(recv(fd, hello, sizeof(hello), 0) > 0);
}

static void say_nothing(int fd)
{
	char hello[1000];

	while (recv(fd, hello, sizeof(hello), 0) > 0)
		;
}

static void other_versions_are_named(void)
{
	expect_of(speak_version_9, "it speaks protocol version 9, and we version 1");
	expect_of(refuse_version_1, "it refuses protocol version 1, which we speak: versions 2 to "
				    "3 are spoken here");
}

static void what_is_no_donor_is_told_apart(void)
{
	expect_of(be_busy, "it refuses: too many sessions");
	expect_of(hurry, "it wants to hear every 300 ms for leases of 200 ms");
	expect_of(talk_of_something_else, "it does not speak the protocol of donord");
	expect_of(hang_up, "it hung up without a greeting");
	expect_of(say_nothing, "no answer");
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_killed_donor_is_lost_once_over_tcp),
		SUITE_TEST(a_killed_donor_is_lost_once_over_shm),
		SUITE_TEST(a_frozen_donor_is_lost_with_its_lease),
		SUITE_TEST(a_donor_that_stops_says_so),
		SUITE_TEST(the_other_donor_goes_on),
		SUITE_TEST(a_donor_that_comes_back_is_used_again),
		SUITE_TEST(a_donor_that_is_not_there_is_named_with_the_cause),
		SUITE_TEST(a_transport_that_cannot_be_is_explained),
		SUITE_TEST(a_donor_that_comes_late_is_used),
		SUITE_TEST(other_versions_are_named),
		SUITE_TEST(what_is_no_donor_is_told_apart),
		SUITE_END,
	};

	return suite_run("store losses", tests);
}
