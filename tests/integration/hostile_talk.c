#include "tests/integration/hostile.h"

#include "common/base/clock.h"
#include "common/transport/frame.h"
#include "tests/xorshift.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in tcp_address;
static struct sockaddr_un local_address;

void target_set(const char *port, const char *path)
{
	tcp_address.sin_family = AF_INET;
	tcp_address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	tcp_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	local_address.sun_family = AF_UNIX;
	snprintf(local_address.sun_path, sizeof(local_address.sun_path), "%s", path);
}

/* ---- judgement ---- */

static NORETURN void die_with(const char *fmt, va_list args)
{
	fflush(stdout);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	exit(1);
}

void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	die_with(fmt, args);
}

void must(bool is_so, const char *fmt, ...)
{
	va_list args;

	if (is_so)
		return;
	va_start(args, fmt);
	die_with(fmt, args);
}

uint64_t random_next(void)
{
	static uint64_t state = XORSHIFT_SEED;

	return xorshift_next(&state);
}

/* ---- connections ---- */

int knock(enum door door)
{
	const int on = 1;
	const struct sockaddr *address =
		door == DOOR_TCP ? (void *)&tcp_address : (void *)&local_address;
	socklen_t len = door == DOOR_TCP ? sizeof(tcp_address) : sizeof(local_address);
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0, "no socket: %s", strerror(errno));
	must(!connect(fd, address, len), "donor does not accept: %s", strerror(errno));
	/* Or every message in two pieces waits 40 ms for the first one's acknowledgement. */
	if (door == DOOR_TCP)
		must(!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "TCP_NODELAY");
	return fd;
}

void slam(int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	must(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), "SO_LINGER");
	close(fd);
}

bool say(int fd, const void *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		bytes = (const char *)bytes + n;
		len -= (size_t)n;
	}
	return true;
}

void say_message(int fd, const struct wire_message *message)
{
	uint8_t frame[WIRE_MAX_FRAME];
	int n = wire_encode(message, frame, sizeof(frame));

	must(n > 0, "%s cannot be drawn", wire_type_name(message->type));
	must(say(fd, frame, (size_t)n), "%s not taken", wire_type_name(message->type));
}

void say_magic(int fd, uint32_t magic)
{
	uint8_t bytes[4];

	frame_put32(bytes, magic);
	must(say(fd, bytes, sizeof(bytes)), "magic not taken");
}

void say_hello(int fd, unsigned low, unsigned high)
{
	struct wire_message message = {.type = WIRE_HELLO};

	message.hello.version = (uint16_t)high;
	message.hello.min_version = (uint16_t)low;
	message.hello.pid = (uint32_t)getpid();
	strcpy(message.hello.name, "hostile");
	say_magic(fd, WIRE_MAGIC);
	say_message(fd, &message);
}

/* Whether something comes, or the end, before the deadline. */
static bool wait_for_input(int fd, uint64_t deadline_ns)
{
	struct pollfd input = {fd, POLLIN, 0};
	uint64_t now = clock_ns();

	return now < deadline_ns && poll(&input, 1, (int)((deadline_ns - now) / 1000000) + 1) == 1;
}

void hear(int fd, void *out, size_t len)
{
	uint64_t deadline = clock_ns() + PATIENT_MS * UINT64_C(1000000);

	while (len) {
		ssize_t n;

		must(wait_for_input(fd, deadline), "the donor says nothing");
		n = recv(fd, out, len, 0);
		must(n > 0, "the donor hangs up: %s", n ? strerror(errno) : "end of the stream");
		out = (char *)out + n;
		len -= (size_t)n;
	}
}

void hear_message(int fd, struct wire_message *out)
{
	uint8_t frame[WIRE_MAX_FRAME];
	size_t payload;

	hear(fd, frame, WIRE_HEADER_BYTES);
	payload = frame_get32(frame);
	must(payload <= WIRE_MAX_PAYLOAD, "the donor's own message is oversized");
	hear(fd, frame + WIRE_HEADER_BYTES, payload);
	must(wire_decode(frame, WIRE_HEADER_BYTES + payload, out) > 0, "no message");
}

void hear_refusal(int fd, enum wire_error_code code, const char *text)
{
	struct wire_message message;

	/* Answers to what was right before may be on their way. */
	do
		hear_message(fd, &message);
	while (message.type == WIRE_WELCOME || message.type == WIRE_GRANT);
	must(message.type == WIRE_ERROR, "%s instead of an error", wire_type_name(message.type));
	must(message.error.code == code, "error %u: %s", message.error.code, message.error.text);
	must(strstr(message.error.text, text) != NULL, "no \"%s\" in: %s", text,
	     message.error.text);
	must_be_closed(fd, AT_ONCE_MS, "a refused connection");
}

bool is_closed_within(int fd, int ms)
{
	uint64_t deadline = clock_ns() + (uint64_t)ms * 1000000u;
	char nowhere[65536];

	while (wait_for_input(fd, deadline)) {
		if (recv(fd, nowhere, sizeof(nowhere), 0) <= 0)
			return true;
	}
	return false;
}

void must_be_closed(int fd, int ms, const char *what)
{
	must(is_closed_within(fd, ms), "%s is still open after %d ms", what, ms);
	close(fd);
}

/* ---- sessions ---- */

void visit_begin(struct visit *visit, enum door door)
{
	struct wire_message message;

	visit->door = door;
	visit->fd = knock(door);
	say_hello(visit->fd, WIRE_VERSION, WIRE_VERSION);
	hear_message(visit->fd, &message);
	must(message.type == WIRE_WELCOME, "%s instead of welcome", wire_type_name(message.type));
	visit->welcome = message.welcome;
}

void visit_end(struct visit *visit)
{
	say_message(visit->fd, &(struct wire_message){.type = WIRE_BYE});
	must_be_closed(visit->fd, AT_ONCE_MS, "a session after BYE");
}

uint64_t visit_lease(struct visit *visit)
{
	struct wire_message message = {.type = WIRE_LEASE, .lease = {4711, 1}};

	say_message(visit->fd, &message);
	hear_message(visit->fd, &message);
	must(message.type == WIRE_GRANT, "%s instead of a grant", wire_type_name(message.type));
	must(message.grant.request == 4711 && message.grant.count == 1, "another grant");
	return message.grant.slabs[0].key;
}

void visit_return(struct visit *visit, uint64_t key)
{
	struct wire_message message = {.type = WIRE_RETURN, .keys = {1, {key}}};

	say_message(visit->fd, &message);
	/* Its answer tells that the RETURN before it is done. */
	visit_renew(visit);
}

void visit_renew(struct visit *visit)
{
	struct wire_message message = {.type = WIRE_RENEW};

	say_message(visit->fd, &message);
	hear_message(visit->fd, &message);
	must(message.type == WIRE_RENEWED, "%s instead of renewed", wire_type_name(message.type));
}

/* ---- data connections ---- */

int data_knock(enum door door, uint16_t version, const uint8_t *token, unsigned *status)
{
	uint32_t magic = door == DOOR_TCP ? TP_TCP_MAGIC : TP_SHM_MAGIC;
	uint8_t bytes[FRAME_HELLO_BYTES];
	struct frame_hello hello = {.version = version};
	int fd = knock(door);

	memcpy(hello.token, token, sizeof(hello.token));
	frame_hello_encode(magic, &hello, bytes);
	must(say(fd, bytes, sizeof(bytes)), "hello not taken");
	hear(fd, bytes, FRAME_WELCOME_BYTES);
	must(frame_get32(bytes) == magic, "another magic comes back");
	*status = frame_get16(bytes + 6);
	return fd;
}

int data_open(const struct visit *visit, enum door door)
{
	unsigned status;
	int fd = data_knock(door, FRAME_VERSION, visit->welcome.token, &status);

	must(status == FRAME_OK, "a good token is refused: %u", status);
	return fd;
}
