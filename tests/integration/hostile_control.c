/* Attacks on control connections, over TCP and over the Unix socket. */
#include "tests/integration/hostile.h"

#include "common/base/clock.h"
#include "common/transport/frame.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Random bytes, behind nothing or behind each magic, and then the end of what we say. */
void garbage(unsigned count)
{
	static const uint32_t magics[] = {0, WIRE_MAGIC, TP_TCP_MAGIC, TP_SHM_MAGIC};
	uint8_t bytes[4096];

	for (unsigned i = 0; i < count; i++) {
		int fd = knock(i % DOORS);
		uint32_t magic = magics[i / DOORS % ARRAY_LEN(magics)];
		size_t len = random_next() % sizeof(bytes);

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)(random_next() >> 32);
		if (magic)
			say_magic(fd, magic);
		/* The donor may hang up in the middle of it. */
		if (say(fd, bytes, len))
			shutdown(fd, SHUT_WR);
		must_be_closed(fd, AT_ONCE_MS, "garbage");
	}
}

/* A good talk that ends at every byte of it. */
void truncation(unsigned count)
{
	struct wire_message messages[] = {
		{.type = WIRE_HELLO, .hello = {1, 1, 2, {3}, "short"}},
		{.type = WIRE_LEASE, .lease = {1, 1}},
		{.type = WIRE_RETURN, .keys = {2, {3, 4}}},
		{.type = WIRE_RENEW},
	};
	uint8_t talk[4 + ARRAY_LEN(messages) * WIRE_MAX_FRAME];
	size_t len = 4;

	frame_put32(talk, WIRE_MAGIC);
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		int n = wire_encode(&messages[i], talk + len, sizeof(talk) - len);

		must(n > 0, "no talk");
		len += (size_t)n;
	}
	for (unsigned i = 0; i < count * len; i++) {
		int fd = knock(i / len % DOORS);

		must(say(fd, talk, i % len), "the donor hangs up before the end");
		shutdown(fd, SHUT_WR);
		must_be_closed(fd, AT_ONCE_MS, "a talk cut short");
	}
}

static void say_header(int fd, uint32_t length, uint16_t type, uint16_t zero)
{
	uint8_t header[WIRE_HEADER_BYTES];

	frame_put32(header, length);
	frame_put16(header + 4, type);
	frame_put16(header + 6, zero);
	must(say(fd, header, sizeof(header)), "header not taken");
}

/* Headers of frames that cannot be, refused before any of their bytes come. */
static void refuse_header(enum door door, uint32_t length, uint16_t type, uint16_t zero)
{
	struct visit visit;
	int fd = knock(door);

	say_magic(fd, WIRE_MAGIC);
	say_header(fd, length, type, zero);
	hear_refusal(fd, WIRE_E_PROTOCOL, "");
	visit_begin(&visit, door);
	say_header(visit.fd, length, type, zero);
	hear_refusal(visit.fd, WIRE_E_PROTOCOL, "");
}

/* One that goes on and on after a header that was refused: it is not listened to for long. */
static void pour(enum door door)
{
	static const uint8_t bytes[65536] = {0xff};
	uint64_t deadline = clock_ns() + AT_ONCE_MS * UINT64_C(1000000);
	int fd = knock(door);

	say_magic(fd, WIRE_MAGIC);
	say_header(fd, UINT32_MAX, WIRE_LEASE, 0);
	while (say(fd, bytes, sizeof(bytes)))
		must(clock_ns() < deadline, "the donor goes on reading what it has refused");
	close(fd);
}

void oversize(unsigned count)
{
	for (unsigned i = 0; i < count * DOORS; i++) {
		enum door door = i % DOORS;

		refuse_header(door, WIRE_MAX_PAYLOAD + 1, WIRE_RETURN, 0);
		refuse_header(door, UINT32_MAX, WIRE_RENEW, 0);
		refuse_header(door, INT32_MAX, WIRE_LEASE, 0);
		refuse_header(door, 1, WIRE_RENEW, 0);
		refuse_header(door, WIRE_MAX_PAYLOAD, WIRE_HELLO, 0);
		refuse_header(door, 0, 0, 0);
		refuse_header(door, 0, WIRE_SOLE + 1, 0);
		refuse_header(door, 0, WIRE_RENEW, 1);
	}
	pour(DOOR_TCP);
	pour(DOOR_LOCAL);
}

void versions(unsigned count)
{
	static const struct {
		unsigned low, high;
		const char *text;
	} cases[] = {
		{2, 2, "2 to 2"},
		{2, 9, "2 to 9"},
		{UINT16_MAX, UINT16_MAX, "65535 to 65535"},
		{0, 0, "0 to 0"},
	};

	for (unsigned i = 0; i < count * ARRAY_LEN(cases) * DOORS; i++) {
		unsigned which = i / DOORS % ARRAY_LEN(cases);
		int fd = knock(i % DOORS);

		say_hello(fd, cases[which].low, cases[which].high);
		if (i & 1)
			hear_refusal(fd, WIRE_E_VERSION, cases[which].text);
		else
			hear_refusal(fd, WIRE_E_VERSION, "1 to 1");
	}
}

/* Everything that is not a client's to say, before and after the welcome. */
void out_of_turn(unsigned count)
{
	static const struct wire_message messages[] = {
		{.type = WIRE_HELLO, .hello = {1, 1, 2, {3}, "again"}},
		{.type = WIRE_WELCOME, .welcome = {.version = 1, .slab_bytes = 1 << 20}},
		{.type = WIRE_ERROR, .error = {WIRE_E_BUSY, "you"}},
		{.type = WIRE_GRANT, .grant = {.count = 1}},
		{.type = WIRE_RENEWED},
		{.type = WIRE_REVOKED, .keys = {.count = WIRE_MAX_LEASES}},
		{.type = WIRE_SOLE},
		{.type = WIRE_LEASE, .lease = {1, 1}},
		{.type = WIRE_RETURN},
		{.type = WIRE_RENEW},
		{.type = WIRE_BYE},
		{.type = WIRE_SHARE, .share = {.count = 1}},
	};
	struct visit visit;

	for (unsigned i = 0; i < count * ARRAY_LEN(messages); i++) {
		unsigned which = i % ARRAY_LEN(messages);
		enum door door = i / ARRAY_LEN(messages) % DOORS;

		if (which > 0) {
			int fd = knock(door);

			say_magic(fd, WIRE_MAGIC);
			say_message(fd, &messages[which]);
			hear_refusal(fd, WIRE_E_PROTOCOL, wire_type_name(messages[which].type));
		}
		if (which < 7) {
			visit_begin(&visit, door);
			say_message(visit.fd, &messages[which]);
			hear_refusal(visit.fd, WIRE_E_PROTOCOL,
				     wire_type_name(messages[which].type));
		}
	}
}

/* More slabs than there are: fewer, or none, and no harm to whoever comes next. */
void greed(unsigned count)
{
	struct wire_message message = {.type = WIRE_LEASE, .lease = {1, WIRE_MAX_LEASES}};
	uint64_t granted = 0;
	struct visit visit;

	visit_begin(&visit, DOOR_TCP);
	for (unsigned i = 0; i < count; i++) {
		message = (struct wire_message){.type = WIRE_LEASE, .lease = {i, WIRE_MAX_LEASES}};
		say_message(visit.fd, &message);
		hear_message(visit.fd, &message);
		must(message.type == WIRE_GRANT && message.grant.request == i, "no grant");
		granted += message.grant.count;
	}
	must(granted == visit.welcome.slabs, "%llu slabs of %llu", (unsigned long long)granted,
	     (unsigned long long)visit.welcome.slabs);
	must(message.grant.slabs_free == 0, "some are free");
	visit_end(&visit);
	visit_begin(&visit, DOOR_LOCAL);
	visit_lease(&visit);
	visit_end(&visit);
}

/* Slabs that are free now, in the donor's own words. */
static uint64_t slabs_free(struct visit *visit)
{
	struct wire_message message = {.type = WIRE_RENEW};

	say_message(visit->fd, &message);
	hear_message(visit->fd, &message);
	must(message.type == WIRE_RENEWED, "%s instead of renewed", wire_type_name(message.type));
	return message.renewed.slabs_free;
}

/* What others hold is not ours to return, nor is what nobody holds. */
void foreign_returns(unsigned count)
{
	struct wire_message theft = {.type = WIRE_RETURN, .keys.count = WIRE_MAX_LEASES};
	struct visit victim, thief;

	visit_begin(&victim, DOOR_TCP);
	visit_begin(&thief, DOOR_LOCAL);
	for (unsigned i = 0; i < count; i++) {
		uint64_t key = visit_lease(&victim), before = slabs_free(&victim);

		for (unsigned k = 0; k < WIRE_MAX_LEASES; k++)
			theft.keys.keys[k] = key + k - WIRE_MAX_LEASES / 2;
		say_message(thief.fd, &theft);
		must(slabs_free(&thief) == before, "a slab was taken from another session");
	}
	visit_end(&thief);
	visit_end(&victim);
}

/* Asks and asks and never reads an answer: the donor must not keep them for us. */
void deaf_control(unsigned count)
{
	static const uint8_t renew[] = {0, 0, 0, 0, WIRE_RENEW, 0, 0, 0};
	uint8_t many[512 * sizeof(renew)];

	for (size_t at = 0; at < sizeof(many); at += sizeof(renew))
		memcpy(many + at, renew, sizeof(renew));
	for (unsigned i = 0; i < count; i++) {
		struct visit visit;
		unsigned left = 1 << 20;

		visit_begin(&visit, i % DOORS);
		while (left && say(visit.fd, many, sizeof(many)))
			left--;
		must(left > 0, "the donor takes 4 GiB of questions");
		close(visit.fd);
	}
}

/* A name is for the donor's log: it must not look like lines of the donor's own. */
void bad_names(unsigned count)
{
	struct wire_message message = {.type = WIRE_HELLO, .hello = {.version = 1}};

	for (unsigned i = 0; i < count; i++) {
		int fd = knock(i % DOORS);

		message.hello.min_version = 1;
		strcpy(message.hello.name, "x\ndonord: forged\r\033[2J%s%n\x7f\xff");
		say_magic(fd, WIRE_MAGIC);
		say_message(fd, &message);
		hear_message(fd, &(struct wire_message){0});
		close(fd);
	}
}
