/* Attacks on data connections: tokens, keys and ranges that are not ours, and bad manners. */
#include "tests/integration/hostile.h"

#include "common/transport/shm_frame.h"
#include "common/transport/tcp_frame.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t payload[TP_MAX_BYTES];

/* ---- hello ---- */

static void refuse_hello(enum door door, uint16_t version, const uint8_t *token, unsigned expected)
{
	unsigned status;
	int fd = data_knock(door, version, token, &status);

	must(status == expected, "status %u instead of %u", status, expected);
	must_be_closed(fd, AT_ONCE_MS, "a refused data connection");
}

/* Near misses of a token, one of a session that has ended, another version. */
void tokens(unsigned count)
{
	struct visit visit, gone;
	uint8_t token[WIRE_TOKEN_BYTES];

	visit_begin(&visit, DOOR_TCP);
	visit_begin(&gone, DOOR_TCP);
	visit_end(&gone);
	for (unsigned i = 0; i < count; i++) {
		enum door door = i % DOORS;

		memcpy(token, visit.welcome.token, sizeof(token));
		token[i % sizeof(token)] ^= (uint8_t)(1 << i % 8);
		refuse_hello(door, FRAME_VERSION, token, FRAME_REFUSED);
		memset(token, 0, sizeof(token));
		refuse_hello(door, FRAME_VERSION, token, FRAME_REFUSED);
		refuse_hello(door, FRAME_VERSION, gone.welcome.token, FRAME_REFUSED);
		refuse_hello(door, FRAME_VERSION + 1, visit.welcome.token, FRAME_VERSIONS);
		refuse_hello(door, 0, visit.welcome.token, FRAME_VERSIONS);
	}
	visit_end(&visit);
}

/* ---- tcp ---- */

static void ask(int fd, enum tcp_op op, uint64_t key, uint64_t offset, uint32_t bytes)
{
	struct tcp_request request = {op, bytes, key, offset, offset ^ key};
	uint8_t head[TCP_REQUEST_BYTES];

	tcp_request_encode(&request, head);
	must(say(fd, head, sizeof(head)), "request not taken");
	/* A donor that refuses may hang up before it has taken all of it. */
	if (op == TCP_WRITE && bytes <= sizeof(payload) && !say(fd, payload, bytes))
		return;
}

static unsigned hear_reply(int fd, uint64_t cookie)
{
	uint8_t head[TCP_REPLY_BYTES];
	struct tcp_reply reply;

	hear(fd, head, sizeof(head));
	must(!tcp_reply_decode(head, &reply), "no reply");
	must(reply.cookie == cookie, "the reply to something else");
	must(reply.bytes <= sizeof(payload), "a reply of %u bytes", reply.bytes);
	hear(fd, payload, reply.bytes);
	return reply.status;
}

static void allow(int fd, enum tcp_op op, uint64_t key, uint64_t offset, uint32_t bytes)
{
	unsigned status;

	ask(fd, op, key, offset, bytes);
	status = hear_reply(fd, offset ^ key);
	must(status == FRAME_OK, "%u bytes at %#llx refused: %u", bytes, (unsigned long long)offset,
	     status);
}

/* On a connection of its own, since a refusal is the end of it. */
static void refuse(const struct visit *visit, enum tcp_op op, uint64_t key, uint64_t offset,
		   uint32_t bytes)
{
	int fd = data_open(visit, DOOR_TCP);
	unsigned status;

	ask(fd, op, key, offset, bytes);
	status = hear_reply(fd, offset ^ key);
	must(status == FRAME_REFUSED, "%u bytes at %#llx: status %u", bytes,
	     (unsigned long long)offset, status);
	must_be_closed(fd, AT_ONCE_MS, "a connection after a refusal");
}

static void bounds_of(const struct visit *visit, uint64_t key, enum tcp_op op)
{
	const uint64_t end = visit->welcome.slab_bytes;
	int fd = data_open(visit, DOOR_TCP);

	allow(fd, op, key, 0, 1);
	allow(fd, op, key, 0, TP_MAX_BYTES);
	allow(fd, op, key, end - 1, 1);
	allow(fd, op, key, end - PAGE_BYTES, PAGE_BYTES);
	allow(fd, op, key, end - TP_MAX_BYTES, TP_MAX_BYTES);
	close(fd);
	refuse(visit, op, key, end, 1);
	refuse(visit, op, key, end - 1, 2);
	refuse(visit, op, key, end - PAGE_BYTES, PAGE_BYTES + 1);
	refuse(visit, op, key, end - TP_MAX_BYTES + 1, TP_MAX_BYTES);
	refuse(visit, op, key, end + PAGE_BYTES, PAGE_BYTES);
	refuse(visit, op, key, UINT64_MAX, 1);
	refuse(visit, op, key, UINT64_MAX - PAGE_BYTES + 1, PAGE_BYTES);
	refuse(visit, op, key, UINT64_MAX - PAGE_BYTES + 2, PAGE_BYTES);
	refuse(visit, op, key, UINT64_MAX - PAGE_BYTES, 2 * PAGE_BYTES);
	refuse(visit, op, key, UINT64_C(1) << 63, PAGE_BYTES);
	refuse(visit, op, key, UINT64_C(1) << 32, 1);
}

/* The first and the last byte of a lease, and everything around them. */
void bounds(unsigned count)
{
	struct visit visit;
	uint64_t key;

	visit_begin(&visit, DOOR_TCP);
	for (unsigned i = 0; i < count; i++) {
		key = visit_lease(&visit);
		bounds_of(&visit, key, TCP_READ);
		bounds_of(&visit, key, TCP_WRITE);
		visit_return(&visit, key);
	}
	visit_end(&visit);
}

/* Requests that are none, each as the last of some good ones. */
void bad_requests(unsigned count)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} changes[] = {
		{0, 'X'}, {1, 'R'}, {2, 0}, {2, 3}, {2, 255}, {3, 1}, {6, 4}, {7, 0x80},
	};
	struct tcp_request request = {TCP_READ, 1, 0, 0, 0};
	uint8_t head[TCP_REQUEST_BYTES];
	struct visit visit;

	visit_begin(&visit, DOOR_TCP);
	request.key = visit_lease(&visit);
	for (unsigned i = 0; i < count * (ARRAY_LEN(changes) + 1); i++) {
		unsigned which = i % (ARRAY_LEN(changes) + 1), status;
		int fd = data_open(&visit, DOOR_TCP);

		allow(fd, TCP_WRITE, request.key, 0, PAGE_BYTES);
		tcp_request_encode(&request, head);
		if (which < ARRAY_LEN(changes))
			head[changes[which].at] = changes[which].value;
		else
			frame_put32(head + 4, 0);
		must(say(fd, head, sizeof(head)), "request not taken");
		status = hear_reply(fd, 0);
		must(status == FRAME_PROTOCOL, "change %u: status %u", which, status);
		must_be_closed(fd, AT_ONCE_MS, "a connection after a bad request");
	}
	visit_end(&visit);
}

static void must_read(int fd, uint64_t key, uint8_t value)
{
	allow(fd, TCP_READ, key, 0, PAGE_BYTES);
	must(payload[0] == value && !memcmp(payload, payload + 1, PAGE_BYTES - 1),
	     "it reads %u and not %u", payload[0], value);
}

/* Keys of another session, keys near to one, and keys that were one's own. */
void foreign_keys(unsigned count)
{
	struct visit victim, thief;
	uint64_t key, old;
	int fd;

	visit_begin(&victim, DOOR_TCP);
	visit_begin(&thief, DOOR_LOCAL);
	key = visit_lease(&victim);
	fd = data_open(&victim, DOOR_TCP);
	memset(payload, 7, sizeof(payload));
	allow(fd, TCP_WRITE, key, 0, PAGE_BYTES);
	for (unsigned i = 0; i < count; i++) {
		old = visit_lease(&thief);
		visit_return(&thief, old);
		memset(payload, 9, sizeof(payload));
		refuse(&thief, TCP_WRITE, key, 0, PAGE_BYTES);
		refuse(&thief, TCP_READ, key, 0, PAGE_BYTES);
		refuse(&thief, TCP_WRITE, old, 0, PAGE_BYTES);
		refuse(&victim, TCP_READ, old, 0, PAGE_BYTES);
		refuse(&victim, TCP_READ, key + 1000000, 0, 1);
		refuse(&thief, TCP_READ, 0, 0, 1);
		must_read(fd, key, 7);
	}
	close(fd);
	visit_end(&thief);
	visit_end(&victim);
}

/* A WRITE whose second half never comes: the end of the session, of its lease, or of the socket. */
void half_writes(unsigned count)
{
	struct tcp_request request = {TCP_WRITE, TP_MAX_BYTES, 0, 0, 0};
	uint8_t head[TCP_REQUEST_BYTES];

	for (unsigned i = 0; i < count * 3; i++) {
		struct visit visit;
		int fd;

		visit_begin(&visit, DOOR_TCP);
		request.key = visit_lease(&visit);
		tcp_request_encode(&request, head);
		fd = data_open(&visit, DOOR_TCP);
		must(say(fd, head, sizeof(head)) && say(fd, payload, 1 + random_next() % 100000),
		     "half a write not taken");
		if (i % 3 == 0)
			slam(fd);
		/* Refused, if it was returned before the request came: closed in both cases. */
		if (i % 3 == 1) {
			visit_return(&visit, request.key);
			must_be_closed(fd, AT_ONCE_MS, "a half write to a returned lease");
		}
		visit_end(&visit);
		if (i % 3 == 2)
			must_be_closed(fd, AT_ONCE_MS, "a half write of an ended session");
	}
}

/* Asks for gigabytes and reads nothing, while another one is served. */
void deaf_reader(unsigned count)
{
	struct tcp_request request = {TCP_READ, TP_MAX_BYTES, 0, 0, 0};
	uint8_t head[TCP_REQUEST_BYTES];
	struct visit deaf, good;
	int fds[16], fd;
	uint64_t key;

	visit_begin(&deaf, DOOR_TCP);
	visit_begin(&good, DOOR_TCP);
	request.key = visit_lease(&deaf);
	key = visit_lease(&good);
	tcp_request_encode(&request, head);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = data_open(&deaf, DOOR_TCP);
		/* What does not fit is not sent: nobody must wait for us here. */
		for (unsigned n = 0; n < count; n++) {
			if (send(fds[i], head, sizeof(head), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
				break;
		}
	}
	fd = data_open(&good, DOOR_TCP);
	for (uint64_t i = 0; i < 100; i++)
		allow(fd, TCP_WRITE, key, i * PAGE_BYTES, PAGE_BYTES);
	close(fd);
	visit_end(&good);
	visit_end(&deaf);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		must_be_closed(fds[i], AT_ONCE_MS, "a deaf reader's connection");
}

static void say_slowly(int fd, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		must(say(fd, bytes + i, 1), "the donor is impatient");
		poll(NULL, 0, 5);
	}
}

/* Byte by byte: slow is not bad, and is served; too slow is closed. */
void slow_sender(unsigned count)
{
	struct frame_hello hello = {.version = FRAME_VERSION};
	uint8_t bytes[FRAME_HELLO_BYTES], welcome[FRAME_WELCOME_BYTES], head[TCP_REQUEST_BYTES];
	struct tcp_request request = {TCP_WRITE, 100, 0, 0, 0};
	struct visit visit;

	visit_begin(&visit, DOOR_TCP);
	memcpy(hello.token, visit.welcome.token, sizeof(hello.token));
	frame_hello_encode(TP_TCP_MAGIC, &hello, bytes);
	request.key = visit_lease(&visit);
	tcp_request_encode(&request, head);
	for (unsigned i = 0; i < count; i++) {
		int fd = knock(DOOR_TCP);

		say_slowly(fd, bytes, sizeof(bytes));
		hear(fd, welcome, sizeof(welcome));
		must(frame_get16(welcome + 6) == FRAME_OK, "a slow hello is refused");
		say_slowly(fd, head, sizeof(head));
		say_slowly(fd, payload, request.bytes);
		must(hear_reply(fd, 0) == FRAME_OK, "a slow request is refused");
		close(fd);
	}
	visit_end(&visit);
}

/* ---- shm ---- */

static void question(int fd, uint32_t op, uint32_t zero, uint64_t key)
{
	uint8_t bytes[SHM_QUESTION_BYTES];

	frame_put32(bytes, op);
	frame_put32(bytes + 4, zero);
	frame_put64(bytes + 8, key);
	must(say(fd, bytes, sizeof(bytes)), "question not taken");
}

static void end_with(const struct visit *visit, uint32_t op, uint32_t zero)
{
	int fd = data_open(visit, DOOR_LOCAL);

	question(fd, op, zero, 0);
	must_be_closed(fd, AT_ONCE_MS, "a connection after a bad question");
}

static void refuse_key(int fd, uint32_t op, uint64_t key)
{
	uint8_t bytes[SHM_ANSWER_BYTES];
	struct shm_answer answer;

	question(fd, op, 0, key);
	hear(fd, bytes, sizeof(bytes));
	must(!shm_answer_decode(bytes, &answer), "no answer");
	must(answer.status == FRAME_REFUSED, "a key that is not ours: %u", answer.status);
}

/* Questions that are none, keys that are not ours, and thousands of answers that nobody takes. */
void shm_questions(unsigned count)
{
	struct visit visit, other;
	uint64_t key, foreign;

	visit_begin(&visit, DOOR_LOCAL);
	visit_begin(&other, DOOR_LOCAL);
	key = visit_lease(&visit);
	foreign = visit_lease(&other);
	for (unsigned i = 0; i < count; i++) {
		uint8_t map[SHM_QUESTION_BYTES];
		unsigned left = 100000;
		int fd = data_open(&visit, DOOR_LOCAL);

		refuse_key(fd, SHM_MAP, foreign);
		refuse_key(fd, SHM_UNMAP, foreign);
		refuse_key(fd, SHM_MAP, key + 1000000);
		refuse_key(fd, SHM_UNMAP, key);
		end_with(&visit, 0, 0);
		end_with(&visit, 3, 0);
		end_with(&visit, SHM_MAP, 1);
		shm_question_encode(&(struct shm_question){SHM_MAP, key}, map);
		while (left && say(fd, map, sizeof(map)))
			left--;
		must(left > 0, "the donor sends 100000 descriptors to nobody");
		close(fd);
	}
	visit_end(&other);
	visit_end(&visit);
}
