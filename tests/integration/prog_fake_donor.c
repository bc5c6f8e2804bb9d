/*
 * A donor that answers wrongly, each time in the same way: what an engine meets when it calls the
 * wrong port, another version, or a host that is ill. Listens on a free port of an IPv4 address of
 * this host, and prints which; serves until it is killed.
 *
 *   prog_fake_donor WAY ADDRESS       see ways[]
 */
#include "common/base/compiler.h"
#include "common/transport/tcp_frame.h"
#include "common/wire/wire.h"
#include "tests/integration/give_up.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static uint16_t listen_port;

/* ---- talking ---- */

/* The peer may be gone: then there is nobody left to be wrong to. */
static void say_bytes(int fd, const void *bytes, size_t len)
{
	if (write(fd, bytes, len) != (ssize_t)len)
		_exit(0);
}

static void say(int fd, const struct wire_message *message)
{
	uint8_t frame[WIRE_MAX_FRAME];
	int len = wire_encode(message, frame, sizeof(frame));

	if (len < 0)
		give_up("a message cannot be drawn: %s", strerror(-len));
	say_bytes(fd, frame, (size_t)len);
}

/* Reads one message, the HELLO's magic before it included. Ends the process when the peer does. */
static void hear(int fd, bool is_first, struct wire_message *out)
{
	uint8_t bytes[4 + WIRE_MAX_FRAME];
	size_t skip = is_first ? 4 : 0, len = 0;
	int taken = 0;

	while (taken <= 0) {
		if (read(fd, bytes + len, 1) != 1)
			_exit(0);
		len++;
		if (len > skip)
			taken = wire_decode(bytes + skip, len - skip, out);
		if (taken < 0)
			_exit(0);
	}
}

static void hear_until(int fd, uint16_t type, struct wire_message *out)
{
	do
		hear(fd, false, out);
	while (out->type != type);
}

/* What has been heard is not answered by a reset when the connection is closed. */
static void hear_anything(int fd)
{
	uint8_t bytes[WIRE_MAX_FRAME];

	if (read(fd, bytes, sizeof(bytes)) <= 0)
		_exit(0);
}

static void stay(int fd)
{
	char byte;

	while (read(fd, &byte, 1) == 1)
		;
}

/* ---- ways to be wrong ---- */

static void refuse(int fd, uint16_t code, const char *text)
{
	struct wire_message message = {.type = WIRE_ERROR};

	message.error.code = code;
	snprintf(message.error.text, sizeof(message.error.text), "%s", text);
	hear(fd, true, &(struct wire_message){0});
	say(fd, &message);
}

static void other_version(int fd)
{
	refuse(fd, WIRE_E_VERSION, "versions 7 to 9 are spoken here, not the client's");
}

static void busy(int fd)
{
	refuse(fd, WIRE_E_BUSY, "too many clients are connected");
}

static void http(int fd)
{
	static const char text[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

	hear_anything(fd);
	say_bytes(fd, text, sizeof(text) - 1);
}

static void garbage(int fd)
{
	uint8_t bytes[20000];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i >> 3);
	say_bytes(fd, bytes, sizeof(bytes));
	stay(fd);
}

static void oversized(int fd)
{
	static const uint8_t header[WIRE_HEADER_BYTES] = {0xff, 0xff, 0xff, 0x7f, WIRE_WELCOME};

	say_bytes(fd, header, sizeof(header));
	stay(fd);
}

static void truncated(int fd)
{
	static const uint8_t half[] = {40, 0, 0, 0, WIRE_WELCOME, 0, 0, 0, 1, 0};

	hear_anything(fd);
	say_bytes(fd, half, sizeof(half));
}

static void silent(int fd)
{
	stay(fd);
}

static void closing(int fd)
{
	hear_anything(fd);
}

#define SLAB_BYTES (32ull << 20)

static struct wire_message welcome_of(uint16_t version)
{
	struct wire_message message = {.type = WIRE_WELCOME};

	message.welcome = (struct wire_welcome){
		.version = version,
		.data_port = listen_port,
		.lease_ms = 10000,
		.renew_ms = 5000,
		.session = 1,
		.slab_bytes = SLAB_BYTES,
		.slabs = 64,
		.slabs_free = 64,
	};
	return message;
}

static void welcome(int fd, uint16_t version)
{
	struct wire_message message = welcome_of(version);

	hear(fd, true, &(struct wire_message){0});
	say(fd, &message);
}

static void unknown_version(int fd)
{
	welcome(fd, 99);
	stay(fd);
}

/* The codec draws no such message, so the number is changed in the bytes of a right one. */
static void odd_slabs(int fd)
{
	const struct wire_message message = welcome_of(WIRE_VERSION);
	const uint64_t right = SLAB_BYTES, odd = SLAB_BYTES - 4096;
	uint8_t frame[WIRE_MAX_FRAME], *at;
	int len = wire_encode(&message, frame, sizeof(frame));

	at = len > 0 ? memmem(frame, (size_t)len, &right, sizeof(right)) : NULL;
	if (!at)
		give_up("the slab's size is not in the message");
	memcpy(at, &odd, sizeof(odd));
	hear(fd, true, &(struct wire_message){0});
	say_bytes(fd, frame, (size_t)len);
	stay(fd);
}

/* Welcomes, and never lends. */
static void stingy(int fd)
{
	welcome(fd, WIRE_VERSION);
	stay(fd);
}

/* Lends the same memory twice, and more than was asked for. */
static void generous(int fd)
{
	struct wire_message message;
	uint32_t request;
	unsigned i;

	welcome(fd, WIRE_VERSION);
	hear_until(fd, WIRE_LEASE, &message);
	request = message.lease.request;
	message = (struct wire_message){.type = WIRE_GRANT};
	message.grant.request = request;
	message.grant.count = WIRE_MAX_LEASES;
	for (i = 0; i < WIRE_MAX_LEASES; i++)
		message.grant.slabs[i].key = 1 + i % 2;
	say(fd, &message);
	stay(fd);
}

/* ---- lending, and returning something else ---- */

#define LENT_SLABS 12u
#define WRONG_READ 3 /* that is answered wrongly, where it is one */

/* Shared by the processes that serve the connections. */
static struct lent {
	atomic_uint slabs, reads;
	uint8_t memory[LENT_SLABS][SLAB_BYTES];
} * lent;

static void hear_bytes(int fd, void *out, size_t len)
{
	if (recv(fd, out, len, MSG_WAITALL) != (ssize_t)len)
		_exit(0);
}

static void grant(int fd, const struct wire_lease *lease)
{
	struct wire_message message = {.type = WIRE_GRANT};
	unsigned slab;

	message.grant.request = lease->request;
	while (message.grant.count < lease->slabs &&
	       (slab = atomic_fetch_add(&lent->slabs, 1)) < LENT_SLABS)
		message.grant.slabs[message.grant.count++].key = 1 + slab;
	say(fd, &message);
}

static NORETURN void lend(int fd)
{
	const struct wire_message renewed = {.type = WIRE_RENEWED};
	struct wire_message message;

	welcome(fd, WIRE_VERSION);
	for (;;) {
		hear(fd, false, &message);
		if (message.type == WIRE_LEASE)
			grant(fd, &message.lease);
		else if (message.type == WIRE_RENEW)
			say(fd, &renewed);
	}
}

static uint8_t *memory_of(const struct tcp_request *request)
{
	if (request->key < 1 || request->key > LENT_SLABS ||
	    request->offset + request->bytes > SLAB_BYTES)
		give_up("key %llu, offset %llu", (unsigned long long)request->key,
			(unsigned long long)request->offset);
	return lent->memory[request->key - 1] + request->offset;
}

/* Changes what is to be returned for a read, which begins at `from`. */
typedef void spoil_fn(uint8_t *bytes, size_t len, const uint8_t *from);

static void answer_request(int fd, spoil_fn *spoil)
{
	static uint8_t bytes[TCP_REPLY_BYTES + TP_MAX_BYTES];
	uint8_t header[TCP_REQUEST_BYTES];
	struct tcp_request request;
	struct tcp_reply reply;

	hear_bytes(fd, header, sizeof(header));
	if (tcp_request_decode(header, &request))
		give_up("no request");
	if (request.op == TCP_WRITE)
		hear_bytes(fd, memory_of(&request), request.bytes);
	reply = (struct tcp_reply){
		.bytes = request.op == TCP_READ ? request.bytes : 0,
		.cookie = request.cookie,
	};
	tcp_reply_encode(&reply, bytes);
	memcpy(bytes + TCP_REPLY_BYTES, memory_of(&request), reply.bytes);
	if (request.op == TCP_READ)
		spoil(bytes + TCP_REPLY_BYTES, reply.bytes, memory_of(&request));
	say_bytes(fd, bytes, TCP_REPLY_BYTES + reply.bytes);
}

static NORETURN void lend_and_spoil(int fd, spoil_fn *spoil)
{
	uint8_t ok[FRAME_WELCOME_BYTES], hello[FRAME_HELLO_BYTES];
	uint32_t magic;

	if (recv(fd, &magic, sizeof(magic), MSG_PEEK | MSG_WAITALL) != sizeof(magic))
		_exit(0);
	if (le32toh(magic) != TP_TCP_MAGIC)
		lend(fd);
	hear_bytes(fd, hello, sizeof(hello));
	frame_welcome_encode(TP_TCP_MAGIC, FRAME_OK, ok);
	say_bytes(fd, ok, sizeof(ok));
	for (;;)
		answer_request(fd, spoil);
}

static void flip(uint8_t *bytes, size_t len, const uint8_t *from UNUSED)
{
	bytes[len / 2 + 7] ^= 0x10;
}

static void flip_one(uint8_t *bytes, size_t len, const uint8_t *from)
{
	if (atomic_fetch_add(&lent->reads, 1) == WRONG_READ)
		flip(bytes, len, from);
}

static void clear(uint8_t *bytes, size_t len, const uint8_t *from UNUSED)
{
	memset(bytes, 0, len);
}

/* A page that the client has written, too, or may have. */
static void swap(uint8_t *bytes, size_t len, const uint8_t *from)
{
	bool is_first = from == lent->memory[0];

	memcpy(bytes, is_first ? from + PAGE_BYTES : from - PAGE_BYTES, len);
}

static void wrong_once(int fd)
{
	lend_and_spoil(fd, flip_one);
}

static void wrong_byte(int fd)
{
	lend_and_spoil(fd, flip);
}

static void wrong_zeros(int fd)
{
	lend_and_spoil(fd, clear);
}

static void wrong_page(int fd)
{
	lend_and_spoil(fd, swap);
}

static const struct {
	const char *name;
	void (*answer)(int fd);
} ways[] = {
	{"other_version", other_version},
	{"unknown_version", unknown_version},
	{"busy", busy},
	{"http", http},
	{"garbage", garbage},
	{"oversized", oversized},
	{"truncated", truncated},
	{"silent", silent},
	{"closing", closing},
	{"odd_slabs", odd_slabs},
	{"stingy", stingy},
	{"generous", generous},
	{"wrong_once", wrong_once},
	{"wrong_byte", wrong_byte},
	{"wrong_zeros", wrong_zeros},
	{"wrong_page", wrong_page},
};

/* ---- listening ---- */

static int listen_at(const char *host)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		give_up("%s: no IPv4 address", host);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) || listen(fd, 16) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		give_up("cannot listen: %s", strerror(errno));
	listen_port = ntohs(address.sin_port);
	return fd;
}

/* A process for each caller: one that is kept waiting does not keep others waiting. */
static void serve(int listener, void (*answer)(int fd))
{
	int fd;

	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			give_up("accept: %s", strerror(errno));
		if (fork() == 0) {
			close(listener);
			answer(fd);
			_exit(0);
		}
		close(fd);
	}
}

int main(int argc, char **argv)
{
	int listener;
	size_t i;

	lent = mmap(NULL, sizeof(*lent), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lent == MAP_FAILED)
		give_up("mmap: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	for (i = 0; argc == 3 && i < ARRAY_LEN(ways); i++) {
		if (strcmp(ways[i].name, argv[1]))
			continue;
		listener = listen_at(argv[2]);
		printf("%u\n", listen_port);
		fflush(stdout);
		serve(listener, ways[i].answer);
	}
	give_up("usage: prog_fake_donor WAY ADDRESS");
}
