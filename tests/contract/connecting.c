#include "tests/contract/contract.h"

#include "common/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Connects to whatever listens there now, with 300 ms of patience; returns the error. */
static int connect_once(const struct tp_target *target, uint64_t *took_ns)
{
	const struct tp_options options = {.connect_timeout_ms = 300};
	struct tp *tp = contract_open(&options);
	struct tp_conn *conn;
	uint64_t start = clock_ns();
	int err;

	err = tp_connect(tp, target, &conn);
	*took_ns = clock_ns() - start;
	if (!err)
		tp_disconnect(conn);
	tp_close(tp);
	return err;
}

void no_donor_is_an_error_in_time(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	struct tp_target target = donor_target(donor, 0);
	uint64_t took_ns;
	int err;

	donor_signal(donor, SIGKILL);
	/* Until the kernel has closed its listener, a connection may still be made, and cut. */
	do {
		err = connect_once(&target, &took_ns);
		CU_ASSERT(took_ns < 5000000000u);
	} while (err == -ECONNRESET || err == -ETIMEDOUT);
	CU_ASSERT_EQUAL(err, -ECONNREFUSED);
	target.host = ""; /* has no address, and no name server needs to be asked */
	target.path = "/nowhere/at/all";
	CU_ASSERT_EQUAL(connect_once(&target, &took_ns),
			contract_is_shm() ? -ENOENT : -EHOSTUNREACH);
	donor_stop(donor);
}

void a_silent_donor_is_an_error_in_time(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_PROCESS);
	struct tp_target target = donor_target(donor, 0);
	uint64_t took_ns;

	donor_signal(donor, SIGSTOP);
	CU_ASSERT_EQUAL(connect_once(&target, &took_ns), -ETIMEDOUT);
	CU_ASSERT(took_ns >= 300000000u);
	CU_ASSERT(took_ns < 5000000000u);
	donor_signal(donor, SIGCONT);
	donor_stop(donor);
}

/* Waits until the donor has `want` connections, or patience ends. */
static bool becomes(struct donor *donor, uint64_t want)
{
	uint64_t deadline = clock_ns() + PATIENCE_MS * 1000000ull;

	while (donor_stats(donor).connections != want && clock_ns() < deadline)
		usleep(1000);
	return donor_stats(donor).connections == want;
}

#define MOST_CONNECTIONS 64u /* docs/transports.md */

void a_domain_has_a_bound_on_connections(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	const struct tp_target target = donor_target(donor, 0);
	struct tp *tp = contract_open(NULL);
	struct tp_conn *conns[MOST_CONNECTIONS], *one_more = NULL;
	struct client other;
	unsigned i;

	for (i = 0; i < MOST_CONNECTIONS; i++)
		CU_ASSERT_EQUAL_FATAL(tp_connect(tp, &target, &conns[i]), 0);
	CU_ASSERT_EQUAL(tp_connect(tp, &target, &one_more), -EBUSY);
	client_open(&other, donor, 1, 0);
	client_close(&other);
	tp_disconnect(conns[7]);
	CU_ASSERT(becomes(donor, MOST_CONNECTIONS - 1));
	CU_ASSERT_EQUAL(tp_connect(tp, &target, &conns[7]), 0);
	for (i = 0; i < MOST_CONNECTIONS; i++)
		tp_disconnect(conns[i]);
	CU_ASSERT(becomes(donor, 0));
	tp_close(tp);
	donor_stop(donor);
}

/* ---- fork ---- */

/* Has closed the connection's descriptors; lives until it is asked whether it does. */
static NORETURN void live_on(const int *fds, unsigned n, int line)
{
	unsigned i;
	char byte;

	for (i = 0; i < n; i++)
		close(fds[i]);
	if (read(line, &byte, 1) == 1 && write(line, "y", 1) == 1)
		_exit(0);
	_exit(1);
}

/* Connects, leaves a child behind that lives on, and ends without a word. */
static NORETURN void connect_and_die(const struct donor *donor, int line)
{
	static uint8_t byte REGISTERED;
	int fds[TP_MAX_DESCRIPTORS];
	struct client client;
	unsigned n;

	client_open(&client, donor, 0, 0);
	if (client_do(&client, TP_READ, 0, 0, &byte, 1))
		_exit(1);
	n = tp_descriptors(client.conn, fds);
	switch (fork()) {
	case -1:
		_exit(2);
	case 0:
		live_on(fds, n, line);
	default:
		_exit(0);
	}
}

/* The connection ends with the process that has it, though a child of that lives on. */
void a_forked_child_can_keep_out_of_it(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	int line[2], status = -1;
	char answer = 'n';
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, line), 0);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		close(line[0]);
		connect_and_die(donor, line[1]);
	}
	close(line[1]);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT(becomes(donor, 0));
	CU_ASSERT_EQUAL(write(line[0], "?", 1), 1);
	CU_ASSERT_EQUAL(read(line[0], &answer, 1), 1);
	CU_ASSERT_EQUAL(answer, 'y');
	close(line[0]);
	donor_stop(donor);
}
