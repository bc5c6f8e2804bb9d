/* What verbs promises besides the contract of all transports, and what can only be seen inside. */
#include "tests/contract/contract.h"
#include "tests/contract/poison.h"

#include "common/base/clock.h"
#include "common/transport/verbs_conn.h"
#include "common/transport/verbs_qp.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#define BLOCK 4096u
#define FLIGHT 64u

static const struct variant verbs = {"verbs", TP_VERBS, false};

static uint8_t buffers[FLIGHT][BLOCK] REGISTERED;

static uint8_t large[TP_MAX_BYTES] REGISTERED;

static struct tp_request read_of(const struct client *client, unsigned i)
{
	return (struct tp_request){
		.op = TP_READ,
		.handle = client->handles[i % DONOR_SLABS],
		.offset = i * (uint64_t)BLOCK,
		.local = buffers[i],
		.bytes = BLOCK,
		.cookie = i,
	};
}

/* WRITEs that take a while. */
static void post_flight(struct client *client)
{
	struct tp_request batch[FLIGHT];
	unsigned i;

	for (i = 0; i < FLIGHT; i++) {
		batch[i] = (struct tp_request){
			.op = TP_WRITE,
			.handle = client->handles[i % DONOR_SLABS],
			.local = large,
			.bytes = sizeof(large),
			.cookie = i,
		};
	}
	CU_ASSERT_EQUAL_FATAL(tp_post(client->conn, batch, FLIGHT), (int)FLIGHT);
}

/* ---- ends ---- */

static void a_failed_queue_completes_everything_once(void)
{
	struct donor *donor = donor_start(TP_VERBS, DONOR_THREAD);
	struct tp_completion done[FLIGHT + 1];
	unsigned char seen[FLIGHT] = {0};
	struct client client;
	struct verbs_conn *conn;
	unsigned i, causes = 0, good = 0;

	client_open(&client, donor, 0, 0);
	conn = verbs_conn_of(client.conn);
	post_flight(&client);
	verbs_qp_fail(conn->lib, conn->qp);
	CU_ASSERT_EQUAL_FATAL(client_collect(client.conn, done, FLIGHT, PATIENCE_MS), FLIGHT);
	for (i = 0; i < FLIGHT; i++) {
		CU_ASSERT_EQUAL(seen[done[i].cookie]++, 0);
		causes += done[i].status == -ECONNRESET;
		good += done[i].status == 0;
		CU_ASSERT(done[i].status == 0 || done[i].status == -ECONNRESET ||
			  done[i].status == -ECANCELED);
	}
	CU_ASSERT(good < FLIGHT);
	CU_ASSERT_EQUAL(causes, 1);
	CU_ASSERT_EQUAL(tp_error(client.conn), -ECONNRESET);
	CU_ASSERT_EQUAL(tp_poll(client.conn, done, 1), 0);
	client_close(&client);
	donor_stop(donor);
}

/* The device has lost what it was given: they complete all the same, in bounded time. */
static void a_device_that_keeps_requests_is_given_up(void)
{
	struct donor *donor = donor_start(TP_VERBS, DONOR_THREAD);
	struct tp_completion done[FLIGHT];
	struct verbs_conn *conn;
	struct client client;
	struct ibv_wc wc;
	unsigned i, lost = 0;

	client_open(&client, donor, 0, 0);
	conn = verbs_conn_of(client.conn);
	post_flight(&client);
	while (lost < FLIGHT)
		lost += ibv_poll_cq(conn->cq, 1, &wc) == 1;
	donor_close_domain(donor, 0);
	CU_ASSERT_EQUAL(client_collect(client.conn, done, FLIGHT, PATIENCE_MS), FLIGHT);
	for (i = 0; i < FLIGHT; i++)
		CU_ASSERT_EQUAL(done[i].status, i == 0 ? -ECONNRESET : -ECANCELED);
	client_close(&client);
	donor_stop(donor);
}

struct stranger {
	struct client client;
	struct tp_completion done[FLIGHT];
	unsigned completed;
};

/* prctl(2) gives its thread credentials of its own, with whatever it is told. */
static void *post_as_stranger(void *arg)
{
	struct stranger *stranger = arg;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
		return NULL;
	post_flight(&stranger->client);
	stranger->completed =
		client_collect(stranger->client.conn, stranger->done, FLIGHT, PATIENCE_MS);
	return NULL;
}

/* Some devices are reached by system calls, which the kernel refuses then. */
static void a_change_of_identity_ends_it_or_does_nothing(void)
{
	struct donor *donor = donor_start(TP_VERBS, DONOR_THREAD);
	static struct stranger stranger;
	pthread_t thread;
	unsigned i, good = 0, causes = 0;

	client_open(&stranger.client, donor, 0, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, post_as_stranger, &stranger), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_join(thread, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(stranger.completed, FLIGHT);
	for (i = 0; i < FLIGHT; i++) {
		good += stranger.done[i].status == 0;
		causes += stranger.done[i].status == -EPERM;
		CU_ASSERT_EQUAL(stranger.done[i].cookie, i);
	}
	CU_ASSERT(good == FLIGHT || (causes == 1 && tp_error(stranger.client.conn) == -EPERM));
	client_close(&stranger.client);
	donor_stop(donor);
}

static void a_buffer_that_is_not_registered_is_refused(void)
{
	struct donor *donor = donor_start(TP_VERBS, DONOR_THREAD);
	uint8_t *elsewhere = calloc(2, BLOCK);
	struct client client;

	client_open(&client, donor, 0, 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, elsewhere, BLOCK), -EFAULT);
	client_close(&client);
	client_open(&client, donor, 0, 0);
	CU_ASSERT_EQUAL_FATAL(tp_register(client.tp, elsewhere, BLOCK), 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, elsewhere, BLOCK), 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, elsewhere + 1, BLOCK), -EFAULT);
	client_close(&client);
	free(elsewhere);
	donor_stop(donor);
}

/* ---- memory ---- */

static void *shared_alloc(void *arg UNUSED, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void shared_free(void *arg UNUSED, void *ptr, size_t bytes)
{
	munmap(ptr, bytes);
}

struct visit {
	unsigned wrong, sleeps;
	int end;
};

/* One request, sleeping for its completion; asserts nothing, which would allocate. */
static void visit_once(struct client *client, unsigned i, struct visit *visit)
{
	const struct tp_request request = read_of(client, i % FLIGHT);
	struct tp_completion done;
	struct pollfd pfd;

	if (tp_post(client->conn, &request, 1) != 1) {
		visit->wrong++;
		return;
	}
	while (tp_poll(client->conn, &done, 1) == 0) {
		if (tp_arm(client->conn, &pfd.fd, &pfd.events) == 0)
			visit->sleeps += poll(&pfd, 1, PATIENCE_MS) == 1;
	}
	visit->wrong += done.status != 0;
}

/* Until the donor, who is killed, is missed. */
static void visit_until_the_end(struct client *client, pid_t donor, struct visit *visit)
{
	struct tp_completion done;

	visit->wrong += kill(donor, SIGKILL) != 0;
	while (!tp_error(client->conn))
		visit->wrong += tp_poll(client->conn, &done, 1) != 0;
	visit->end = tp_error(client->conn);
}

static void nothing_that_may_be_paged_out_is_touched(void)
{
	const struct tp_options options = {.alloc = shared_alloc, .free = shared_free};
	struct donor *donor = donor_start(TP_VERBS, DONOR_PROCESS);
	const struct tp_target target = donor_target(donor, 0);
	pid_t pid = donor_pid(donor);
	struct visit visit = {0};
	struct client client;
	size_t bytes;
	unsigned i;

	client.tp = contract_open(&options);
	CU_ASSERT_EQUAL_FATAL(tp_connect(client.tp, &target, &client.conn), 0);
	for (i = 0; i < DONOR_SLABS; i++) {
		const struct tp_remote remote = donor_remote(donor, 0, i);

		CU_ASSERT_EQUAL_FATAL(tp_attach(client.conn, &remote, &client.handles[i]), 0);
	}
	pattern_fill(donor_memory(donor, 0, 1), DONOR_SLAB_BYTES, 9);
	bytes = poison_lay();
	for (i = 0; i < 500; i++)
		visit_once(&client, i, &visit);
	visit_until_the_end(&client, pid, &visit);
	poison_lift();
	CU_ASSERT(bytes > 0);
	CU_ASSERT_EQUAL(visit.wrong, 0);
	CU_ASSERT_EQUAL(visit.end, -ECONNRESET);
	client_close(&client);
	donor_stop(donor);
}

/* ---- limits ---- */

/* Without the right to lock as much as it likes. */
static int drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	data[0].permitted &= ~(1u << CAP_IPC_LOCK);
	return (int)syscall(SYS_capset, &header, data);
}

/* In a process of its own: returns 0 if a memory that is too large is refused for that reason. */
static int meet_the_limit(const struct donor *donor)
{
	const struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
	const struct tp_target target = donor_target(donor, 0);
	struct tp_conn *conn;
	struct tp *tp;
	void *much = shared_alloc(NULL, 16 << 20);
	int err;

	if (drop_ipc_lock() || setrlimit(RLIMIT_MEMLOCK, &limit) || tp_open(TP_VERBS, NULL, &tp))
		return 1;
	if (tp_connect(tp, &target, &conn))
		return 2;
	err = tp_register(tp, much, 16 << 20);
	if (err != -ENOMEM && err != -EPERM)
		return 3;
	if (!strstr(tp_why(), "RLIMIT_MEMLOCK is 1024 KiB"))
		return 4;
	tp_disconnect(conn);
	tp_close(tp);
	return 0;
}

static void a_limit_on_locked_memory_is_named(void)
{
	struct donor *donor = donor_start(TP_VERBS, DONOR_THREAD);
	int status = -1;
	pid_t pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0)
		_exit(meet_the_limit(donor));
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	donor_stop(donor);
}

static void an_address_without_a_device_is_named(void)
{
	const struct tp_options options = {.connect_timeout_ms = 2000};
	struct tp_target target = {.host = "127.0.0.1", .port = 1};
	struct tp_conn *conn;
	struct tp *tp;
	int err;

	CU_ASSERT_EQUAL_FATAL(tp_open(TP_VERBS, &options, &tp), 0);
	err = tp_connect(tp, &target, &conn);
	CU_ASSERT(err == -ENODEV || err == -EADDRNOTAVAIL);
	CU_ASSERT(strstr(tp_why(), "no RDMA device") != NULL);
	tp_close(tp);
}

/* ---- addresses ---- */

static void ipv6_works_as_well(void)
{
	struct donor *donor;
	struct client client;

	setenv("RDMA_HOST", donor_rdma_address(AF_INET6), 1);
	donor = donor_start(TP_VERBS, DONOR_THREAD);
	CU_ASSERT(strchr(donor_target(donor, 0).host, ':') != NULL);
	client_open(&client, donor, 0, 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, 0, large, sizeof(large)), 0);
	client_close(&client);
	donor_stop(donor);
	unsetenv("RDMA_HOST");
}

/* A donor that listens on all addresses lends over the device that there is. */
static void a_wildcard_address_will_do(void)
{
	char host[64];
	struct tp_target target;
	struct donor *donor;
	struct tp_conn *conn;
	struct tp *tp;

	snprintf(host, sizeof(host), "%s", donor_rdma_host());
	setenv("RDMA_HOST", "0.0.0.0", 1);
	donor = donor_start(TP_VERBS, DONOR_THREAD);
	target = donor_target(donor, 0);
	target.host = host;
	tp = contract_open(NULL);
	CU_ASSERT_EQUAL_FATAL(tp_connect(tp, &target, &conn), 0);
	tp_disconnect(conn);
	tp_close(tp);
	donor_stop(donor);
	unsetenv("RDMA_HOST");
}

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(a_failed_queue_completes_everything_once),
		SUITE_TEST(a_device_that_keeps_requests_is_given_up),
		SUITE_TEST(a_change_of_identity_ends_it_or_does_nothing),
		SUITE_TEST(a_buffer_that_is_not_registered_is_refused),
		SUITE_TEST(nothing_that_may_be_paged_out_is_touched),
		SUITE_TEST(a_limit_on_locked_memory_is_named),
		SUITE_TEST(an_address_without_a_device_is_named),
		SUITE_TEST(ipv6_works_as_well),
		SUITE_TEST(a_wildcard_address_will_do),
		SUITE_END,
	};
	const char *why = contract_no_verbs();
	unsigned i;

	contract_variant = &verbs;
	for (i = 0; tests[i].name; i++) {
		tests[i].inactive = why;
		if (!why && tests[i].run == nothing_that_may_be_paged_out_is_touched)
			tests[i].inactive = poison_impossible;
		if (!why && tests[i].run == ipv6_works_as_well && !donor_rdma_address(AF_INET6))
			tests[i].inactive = "no IPv6 address belongs to an RDMA device";
	}
	return suite_run("verbs", tests);
}
