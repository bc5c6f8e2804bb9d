/*
 * What a client makes of a donor that lies, stammers or falls silent: an error that says which, a
 * connection that is over, and never a byte outside the buffers it gave.
 */
#include "tests/contract/hostile.h"

#include "common/base/clock.h"
#include "common/transport/dial.h"
#include "common/transport/shm_frame.h"
#include "common/transport/tcp_frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BYTES 1000u
#define GUARD 0x5a

struct impostor;

/* Plays the donor on an accepted connection whose hello was read. */
typedef void script_fn(const struct impostor *impostor, int fd);

struct impostor {
	script_fn *script;
	int number; /* for the script */
	int listener;
	struct tp_target target;
	char dir[32], path[64];
	pthread_t thread;
};

/* ---- the impostor ---- */

/* The client may be gone already. */
static void say(int fd, const void *bytes, size_t len)
{
	int err = dial_send(fd, bytes, len, hostile_soon());

	if (err && err != -ECONNRESET)
		abort();
}

static void listen_anywhere(struct impostor *impostor)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct sockaddr_in inet = {.sin_family = AF_INET};
	struct sockaddr *address =
		contract_is_shm() ? (struct sockaddr *)&local : (struct sockaddr *)&inet;
	socklen_t len = contract_is_shm() ? sizeof(local) : sizeof(inet);

	strcpy(impostor->dir, "/tmp/impostor-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(impostor->dir));
	snprintf(impostor->path, sizeof(impostor->path), "%s/sock", impostor->dir);
	strcpy(local.sun_path, impostor->path);
	inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	impostor->listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(bind(impostor->listener, address, len) == 0);
	CU_ASSERT_FATAL(listen(impostor->listener, 4) == 0);
	if (!contract_is_shm())
		CU_ASSERT_FATAL(getsockname(impostor->listener, address, &len) == 0);
	impostor->target.path = impostor->path;
	impostor->target.host = "127.0.0.1";
	impostor->target.port = ntohs(inet.sin_port);
}

static void *play(void *arg)
{
	struct impostor *impostor = arg;
	uint8_t hello[FRAME_HELLO_BYTES];
	int fd = accept4(impostor->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0 && dial_receive(fd, hello, sizeof(hello), hostile_soon()) == 0)
		impostor->script(impostor, fd);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void impostor_start(struct impostor *impostor, const struct variant *variant,
			   script_fn *script, int number)
{
	contract_variant = variant;
	memset(impostor, 0, sizeof(*impostor));
	impostor->script = script;
	impostor->number = number;
	listen_anywhere(impostor);
	CU_ASSERT_FATAL(pthread_create(&impostor->thread, NULL, play, impostor) == 0);
}

static void impostor_stop(struct impostor *impostor)
{
	pthread_join(impostor->thread, NULL);
	close(impostor->listener);
	unlink(impostor->path);
	rmdir(impostor->dir);
}

static void say_welcome(int fd, unsigned status)
{
	uint8_t bytes[FRAME_WELCOME_BYTES];

	frame_welcome_encode(hostile_magic(), (enum frame_status)status, bytes);
	say(fd, bytes, sizeof(bytes));
}

/* Until the client hangs up. */
static void listen_on(int fd)
{
	uint8_t bytes[256];

	while (dial_receive(fd, bytes, 1, hostile_soon()) == 0)
		continue;
}

/* ---- welcome ---- */

static void play_welcome(const struct impostor *impostor, int fd)
{
	say_welcome(fd, (unsigned)impostor->number);
}

static void play_magic(const struct impostor *impostor UNUSED, int fd)
{
	say(fd, "HTTP/1.1 400", 12);
}

static void play_half_a_welcome(const struct impostor *impostor UNUSED, int fd)
{
	say(fd, "LPT", 3);
}

static int connect_to(const struct variant *variant, script_fn *script, int number)
{
	struct impostor impostor;
	struct tp_conn *conn;
	struct tp *tp;
	int err;

	impostor_start(&impostor, variant, script, number);
	tp = contract_open(NULL);
	err = tp_connect(tp, &impostor.target, &conn);
	if (!err)
		tp_disconnect(conn);
	tp_close(tp);
	impostor_stop(&impostor);
	return err;
}

static void a_wrong_welcome_is_no_connection(void)
{
	const struct variant *const variants[] = {&hostile_shm, &hostile_tcp};
	unsigned i;

	for (i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(connect_to(variants[i], play_welcome, FRAME_OK), 0);
		CU_ASSERT_EQUAL(connect_to(variants[i], play_welcome, FRAME_BUSY), -EBUSY);
		CU_ASSERT_EQUAL(connect_to(variants[i], play_welcome, FRAME_STATUSES), -EPROTO);
		CU_ASSERT_EQUAL(connect_to(variants[i], play_welcome, 0xffff), -EPROTO);
		CU_ASSERT_EQUAL(connect_to(variants[i], play_magic, 0), -EPROTO);
		CU_ASSERT_EQUAL(connect_to(variants[i], play_half_a_welcome, 0), -ECONNRESET);
	}
}

/* ---- tcp: replies ---- */

enum lie { NO_LIE, LIE_MARK, LIE_STATUS, LIE_SHORT, LIE_LONG, LIE_COOKIE, LIE_HANG_UP };

/* Answers two READs of BYTES, the second one as the number says. */
static void play_replies(const struct impostor *impostor, int fd)
{
	uint8_t requests[2 * TCP_REQUEST_BYTES], frame[TCP_REPLY_BYTES], page[4 * BYTES];
	struct tcp_reply reply = {.status = FRAME_OK, .bytes = BYTES, .cookie = 0};

	say_welcome(fd, FRAME_OK);
	if (dial_receive(fd, requests, sizeof(requests), hostile_soon()))
		return;
	memset(page, 0xbd, sizeof(page));
	tcp_reply_encode(&reply, frame);
	say(fd, frame, sizeof(frame));
	say(fd, page, BYTES);
	reply.cookie = impostor->number == LIE_COOKIE ? 7 : 1;
	reply.status = impostor->number == LIE_STATUS ? 4711 : FRAME_OK;
	reply.bytes = impostor->number == LIE_SHORT ? BYTES - 1 : BYTES;
	reply.bytes = impostor->number == LIE_LONG ? BYTES + 1 : reply.bytes;
	tcp_reply_encode(&reply, frame);
	frame[0] ^= impostor->number == LIE_MARK;
	say(fd, frame, impostor->number == LIE_HANG_UP ? 5 : sizeof(frame));
	if (impostor->number == LIE_HANG_UP)
		return;
	say(fd, page, sizeof(page));
	if (impostor->number)
		listen_on(fd);
}

static void post_two(struct tp_conn *conn, uint8_t (*buffers)[BYTES + 2])
{
	const struct tp_remote remote = {.key = 1, .bytes = DONOR_SLAB_BYTES};
	struct tp_request batch[2];
	uint32_t handle;
	unsigned i;

	CU_ASSERT_EQUAL_FATAL(tp_attach(conn, &remote, &handle), 0);
	memset(buffers, GUARD, 2 * sizeof(buffers[0]));
	for (i = 0; i < 2; i++)
		batch[i] = (struct tp_request){.op = TP_READ,
					       .handle = handle,
					       .local = buffers[i] + 1,
					       .bytes = BYTES,
					       .cookie = i};
	CU_ASSERT_EQUAL_FATAL(tp_post(conn, batch, 2), 2);
}

/* The first request is good; returns what became of the second. */
static int second_reply(script_fn *script, int number)
{
	uint8_t buffers[2][BYTES + 2];
	struct tp_completion done[3];
	struct impostor impostor;
	struct tp_conn *conn;
	struct tp *tp;
	unsigned i;

	impostor_start(&impostor, &hostile_tcp, script, number);
	tp = contract_open(NULL);
	CU_ASSERT_EQUAL_FATAL(tp_connect(tp, &impostor.target, &conn), 0);
	post_two(conn, buffers);
	CU_ASSERT_EQUAL_FATAL(client_collect(conn, done, 2, PATIENCE_MS), 2);
	CU_ASSERT_EQUAL(done[0].cookie, 0);
	CU_ASSERT_EQUAL(done[0].status, 0);
	CU_ASSERT_EQUAL(done[1].cookie, 1);
	for (i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(buffers[i][0], GUARD);
		CU_ASSERT_EQUAL(buffers[i][BYTES + 1], GUARD);
	}
	CU_ASSERT_EQUAL(buffers[0][1], 0xbd);
	CU_ASSERT_EQUAL(buffers[0][BYTES], 0xbd);
	tp_disconnect(conn);
	tp_close(tp);
	impostor_stop(&impostor);
	return done[1].status;
}

static void a_reply_that_does_not_fit_ends_the_connection(void)
{
	CU_ASSERT_EQUAL(second_reply(play_replies, NO_LIE), 0);
	CU_ASSERT_EQUAL(second_reply(play_replies, LIE_MARK), -EPROTO);
	CU_ASSERT_EQUAL(second_reply(play_replies, LIE_STATUS), -EPROTO);
	CU_ASSERT_EQUAL(second_reply(play_replies, LIE_SHORT), -EPROTO);
	CU_ASSERT_EQUAL(second_reply(play_replies, LIE_LONG), -EPROTO);
	CU_ASSERT_EQUAL(second_reply(play_replies, LIE_COOKIE), -EPROTO);
	CU_ASSERT_EQUAL(second_reply(play_replies, LIE_HANG_UP), -ECONNRESET);
}

/* Both replies in pieces of the number's size. */
static void play_pieces(const struct impostor *impostor, int fd)
{
	uint8_t requests[2 * TCP_REQUEST_BYTES], all[2 * (TCP_REPLY_BYTES + BYTES)];
	struct tcp_reply reply = {.status = FRAME_OK, .bytes = BYTES};
	size_t at, piece = (size_t)impostor->number;

	say_welcome(fd, FRAME_OK);
	if (dial_receive(fd, requests, sizeof(requests), hostile_soon()))
		return;
	memset(all, 0xbd, sizeof(all));
	tcp_reply_encode(&reply, all);
	reply.cookie = 1;
	tcp_reply_encode(&reply, all + sizeof(all) / 2);
	for (at = 0; at < sizeof(all); at += piece) {
		say(fd, all + at, sizeof(all) - at < piece ? sizeof(all) - at : piece);
		usleep(200);
	}
	listen_on(fd);
}

static void a_reply_may_come_in_pieces(void)
{
	static const int pieces[] = {1, 7, 15, 17, 999, 1015, 1017};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(pieces); i++)
		CU_ASSERT_EQUAL(second_reply(play_pieces, pieces[i]), 0);
}

static void play_unasked(const struct impostor *impostor UNUSED, int fd)
{
	say_welcome(fd, FRAME_OK);
	say(fd, "hello?", 6);
	listen_on(fd);
}

static void a_reply_to_nothing_ends_the_connection(void)
{
	struct impostor impostor;
	struct tp_conn *conn;
	struct tp *tp;

	impostor_start(&impostor, &hostile_tcp, play_unasked, 0);
	tp = contract_open(NULL);
	CU_ASSERT_EQUAL_FATAL(tp_connect(tp, &impostor.target, &conn), 0);
	CU_ASSERT_EQUAL(client_await_error(conn), -EPROTO);
	tp_disconnect(conn);
	tp_close(tp);
	impostor_stop(&impostor);
}

/* ---- shm: memfds ---- */

enum trick { NO_TRICK, NO_FD, UNSEALED, TOO_SHORT, NOT_A_MEMFD, FEWER_BYTES, TWO_FDS, SILENT };

static int trick_fd(enum trick trick)
{
	off_t size = trick == TOO_SHORT ? 4096 : (off_t)DONOR_SLAB_BYTES;
	int fd;

	if (trick == NO_FD)
		return -1;
	if (trick == NOT_A_MEMFD)
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	fd = memfd_create("trick", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, size) < 0)
		abort();
	if (trick != UNSEALED && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		abort();
	return fd;
}

/* With that descriptor so many times. */
static void answer_with(int socket, const uint8_t *bytes, int fd, unsigned times)
{
	const int fds[2] = {fd, fd};
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(fds))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)bytes, SHM_ANSWER_BYTES};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(times * sizeof(fd));
		CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(times * sizeof(fd));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, times * sizeof(fd));
	}
	(void)sendmsg(socket, &message, MSG_NOSIGNAL);
}

static void play_memfd(const struct impostor *impostor, int socket)
{
	enum trick trick = (enum trick)impostor->number;
	struct shm_answer answer = {.status = FRAME_OK, .bytes = DONOR_SLAB_BYTES};
	uint8_t question[SHM_QUESTION_BYTES], bytes[SHM_ANSWER_BYTES];
	int fd;

	say_welcome(socket, FRAME_OK);
	if (dial_receive(socket, question, sizeof(question), hostile_soon()))
		return;
	if (trick == SILENT) {
		listen_on(socket);
		return;
	}
	answer.bytes -= trick == FEWER_BYTES;
	shm_answer_encode(&answer, bytes);
	fd = trick_fd(trick);
	answer_with(socket, bytes, fd, trick == TWO_FDS ? 2 : 1);
	if (fd >= 0)
		close(fd);
	/* The UNMAP that follows a refused memory. */
	if (trick && dial_receive(socket, question, sizeof(question), hostile_soon()) == 0)
		say(socket, bytes, sizeof(bytes));
	listen_on(socket);
}

static int attach_to(enum trick trick)
{
	const struct tp_remote remote = {.key = 1, .bytes = DONOR_SLAB_BYTES};
	const struct tp_options options = {.connect_timeout_ms =
						   trick == SILENT ? 200 : PATIENCE_MS};
	struct impostor impostor;
	struct tp_conn *conn;
	uint32_t handle;
	struct tp *tp;
	int err;

	impostor_start(&impostor, &hostile_shm, play_memfd, (int)trick);
	tp = contract_open(&options);
	CU_ASSERT_EQUAL_FATAL(tp_connect(tp, &impostor.target, &conn), 0);
	err = tp_attach(conn, &remote, &handle);
	if (trick == SILENT)
		CU_ASSERT_EQUAL(client_await_error(conn), -ECONNRESET);
	tp_disconnect(conn);
	tp_close(tp);
	impostor_stop(&impostor);
	return err;
}

static void only_a_sealed_memfd_of_full_size_is_mapped(void)
{
	CU_ASSERT_EQUAL(attach_to(NO_TRICK), 0);
	CU_ASSERT_EQUAL(attach_to(NO_FD), -EPROTO);
	CU_ASSERT_EQUAL(attach_to(UNSEALED), -EPROTO);
	CU_ASSERT_EQUAL(attach_to(TOO_SHORT), -EPROTO);
	CU_ASSERT_EQUAL(attach_to(NOT_A_MEMFD), -EPROTO);
	CU_ASSERT_EQUAL(attach_to(FEWER_BYTES), -EACCES);
}

static void descriptors_nobody_asked_for_are_not_kept(void)
{
	unsigned before = hostile_descriptors();

	CU_ASSERT_EQUAL(attach_to(TWO_FDS), -EPROTO);
	CU_ASSERT_EQUAL(hostile_descriptors(), before);
}

static void a_donor_that_does_not_answer_is_given_up(void)
{
	CU_ASSERT_EQUAL(attach_to(SILENT), -ETIMEDOUT);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_wrong_welcome_is_no_connection),
		SUITE_TEST(a_reply_that_does_not_fit_ends_the_connection),
		SUITE_TEST(a_reply_may_come_in_pieces),
		SUITE_TEST(a_reply_to_nothing_ends_the_connection),
		SUITE_TEST(only_a_sealed_memfd_of_full_size_is_mapped),
		SUITE_TEST(descriptors_nobody_asked_for_are_not_kept),
		SUITE_TEST(a_donor_that_does_not_answer_is_given_up),
		SUITE_END,
	};

	return suite_run("impostors", tests);
}
