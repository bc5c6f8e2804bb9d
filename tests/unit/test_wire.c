/* The codec alone: what it draws it reads, and what it did not draw it refuses. */
#include "tests/suite.h"

#include "common/wire/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 24

static struct wire_message samples[SAMPLES];
static unsigned sample_count;

static struct wire_message *add_sample(uint16_t type)
{
	struct wire_message *message = &samples[sample_count++];

	memset(message, 0, sizeof(*message));
	message->type = type;
	return message;
}

static void add_session(void)
{
	struct wire_hello *hello = &add_sample(WIRE_HELLO)->hello;
	struct wire_welcome *welcome = &add_sample(WIRE_WELCOME)->welcome;

	hello->version = 7;
	hello->min_version = 3;
	hello->pid = 4711;
	memset(hello->host_id, 0xa5, sizeof(hello->host_id));
	strcpy(hello->name, "redis-server");

	welcome->version = 5;
	welcome->data_port = WIRE_DEFAULT_PORT;
	welcome->verbs_port = WIRE_DEFAULT_PORT + 1;
	welcome->lease_ms = 10000;
	welcome->renew_ms = 5000;
	welcome->session = UINT64_MAX;
	welcome->slab_bytes = 32u << 20;
	welcome->slabs = 128;
	welcome->slabs_free = 127;
	memset(welcome->token, 0x5a, sizeof(welcome->token));
	memset(welcome->host_id, 0x11, sizeof(welcome->host_id));
	strcpy(welcome->local_path, "/run/donord.sock");
}

static void add_longest(void)
{
	struct wire_hello *hello = &add_sample(WIRE_HELLO)->hello;
	struct wire_welcome *welcome = &add_sample(WIRE_WELCOME)->welcome;
	struct wire_error *error = &add_sample(WIRE_ERROR)->error;
	struct wire_grant *grant = &add_sample(WIRE_GRANT)->grant;
	struct wire_keys *keys = &add_sample(WIRE_RETURN)->keys;
	struct wire_share *share = &add_sample(WIRE_SHARE)->share;
	struct wire_sole *sole = &add_sample(WIRE_SOLE)->sole;

	memset(hello->name, 'n', sizeof(hello->name) - 1);
	welcome->slab_bytes = 64u << 20;
	memset(welcome->local_path, 'p', sizeof(welcome->local_path) - 1);
	error->code = WIRE_E_STOPPING;
	memset(error->text, 't', sizeof(error->text) - 1);
	grant->count = keys->count = share->count = sole->count = WIRE_MAX_LEASES;
	memset(share->token, 0xc3, sizeof(share->token));
	for (uint32_t i = 0; i < WIRE_MAX_LEASES; i++) {
		grant->slabs[i] = (struct wire_slab){UINT64_MAX - i, i, ~i};
		keys->keys[i] = i * UINT64_C(0x0101010101010101);
		share->keys[i] = UINT64_MAX - i;
		sole->leases[i] = (struct wire_sole_lease){i, ~i};
	}
}

static void fill_samples(void)
{
	struct wire_message *message;

	add_session();
	add_longest();
	message = add_sample(WIRE_ERROR);
	message->error.code = WIRE_E_VERSION;
	message = add_sample(WIRE_LEASE);
	message->lease = (struct wire_lease){99, WIRE_MAX_LEASES};
	message = add_sample(WIRE_GRANT);
	message->grant.request = 99;
	message->grant.count = 2;
	message->grant.slabs_free = 1;
	message->grant.slabs[1] = (struct wire_slab){3, 0x7f0000000000, 8};
	add_sample(WIRE_GRANT);
	add_sample(WIRE_RENEW);
	message = add_sample(WIRE_RENEWED);
	message->renewed.slabs_free = UINT64_C(0x1122334455667788);
	message = add_sample(WIRE_REVOKED);
	message->keys.count = 1;
	message->keys.keys[0] = 12;
	add_sample(WIRE_BYE);
}

static int encode(const struct wire_message *message, uint8_t out[WIRE_MAX_FRAME])
{
	int n = wire_encode(message, out, WIRE_MAX_FRAME);

	CU_ASSERT_FATAL(n >= WIRE_HEADER_BYTES && n <= WIRE_MAX_FRAME);
	return n;
}

/* Decodes from a block of exactly len bytes, so that a sanitizer sees a read beyond them. */
static int decode(const uint8_t *bytes, size_t len, struct wire_message *out)
{
	uint8_t *exact = malloc(len ? len : 1);
	int n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
	memcpy(exact, bytes, len);
	n = wire_decode(len ? exact : exact + 1, len, out);
	free(exact);
	return n;
}

static void every_message_survives_the_round_trip(void)
{
	uint8_t frame[WIRE_MAX_FRAME];
	struct wire_message got;

	for (unsigned i = 0; i < sample_count; i++) {
		int n = encode(&samples[i], frame);

		memset(&got, 0xee, sizeof(got));
		CU_ASSERT_EQUAL(decode(frame, (size_t)n, &got), n);
		CU_ASSERT_EQUAL(memcmp(&got, &samples[i], sizeof(got)), 0);
	}
}

static void every_type_has_a_sample_and_a_name(void)
{
	for (uint16_t type = WIRE_HELLO; type <= WIRE_SOLE; type++) {
		bool is_sampled = false;

		for (unsigned i = 0; i < sample_count; i++)
			is_sampled |= samples[i].type == type;
		CU_ASSERT(is_sampled);
		CU_ASSERT_STRING_NOT_EQUAL(wire_type_name(type), "unknown");
	}
	CU_ASSERT_STRING_EQUAL(wire_type_name(0), "unknown");
	CU_ASSERT_STRING_EQUAL(wire_type_name(WIRE_SOLE + 1), "unknown");
	CU_ASSERT_STRING_EQUAL(wire_type_name(UINT16_MAX), "unknown");
}

/* The bytes are a promise to other builds: little endian, as docs/protocol.md draws them. */
static void bytes_are_as_drawn(void)
{
	static const uint8_t drawn[] = {8, 0, 0, 0, WIRE_LEASE, 0, 0, 0, 4, 3, 2, 1, 0xff, 0, 0, 0};
	static const uint8_t magic[] = {'L', 'P', 'C', 'R'};
	struct wire_message message = {.type = WIRE_LEASE, .lease = {0x01020304, 255}};
	uint8_t frame[WIRE_MAX_FRAME];

	CU_ASSERT_EQUAL(encode(&message, frame), (int)sizeof(drawn));
	CU_ASSERT_EQUAL(memcmp(frame, drawn, sizeof(drawn)), 0);
	encode(&samples[0], frame);
	CU_ASSERT_EQUAL(memcmp(frame + WIRE_HEADER_BYTES, magic, sizeof(magic)), 0);
}

static void what_follows_a_frame_is_left_alone(void)
{
	uint8_t bytes[2 * WIRE_MAX_FRAME];
	struct wire_message got;

	for (unsigned i = 0; i < sample_count; i++) {
		int n = encode(&samples[i], bytes);

		memset(bytes + n, 0xff, sizeof(bytes) - (size_t)n);
		CU_ASSERT_EQUAL(decode(bytes, sizeof(bytes), &got), n);
	}
}

static void every_truncation_is_incomplete(void)
{
	uint8_t frame[WIRE_MAX_FRAME];
	struct wire_message got, before;

	memset(&got, 0xee, sizeof(got));
	before = got;
	for (unsigned i = 0; i < sample_count; i++) {
		int n = encode(&samples[i], frame);

		for (int len = 0; len < n; len += len < 200 ? 1 : 5)
			CU_ASSERT_EQUAL(decode(frame, (size_t)len, &got), 0);
	}
	CU_ASSERT_EQUAL(memcmp(&got, &before, sizeof(got)), 0);
}

static void set_length(uint8_t *frame, uint32_t length)
{
	for (int i = 0; i < 4; i++)
		frame[i] = (uint8_t)(length >> 8 * i);
}

/* A payload cut or stretched under a header that says so: whole, but not a message. */
static void a_wrong_length_is_refused(void)
{
	uint8_t frame[2 * WIRE_MAX_FRAME] = {0};
	struct wire_message got;

	for (unsigned i = 0; i < sample_count; i++) {
		uint32_t payload = (uint32_t)encode(&samples[i], frame) - WIRE_HEADER_BYTES;

		for (uint32_t len = 0; len <= payload + 16; len += len < 200 ? 1 : 3) {
			if (len == payload)
				continue;
			set_length(frame, len);
			CU_ASSERT_EQUAL(decode(frame, WIRE_HEADER_BYTES + len, &got), -EPROTO);
		}
	}
}

static void a_length_that_cannot_be_is_refused_at_once(void)
{
	uint8_t frame[WIRE_MAX_FRAME];
	struct wire_message got;

	for (unsigned i = 0; i < sample_count; i++) {
		encode(&samples[i], frame);
		set_length(frame, WIRE_MAX_PAYLOAD + 1);
		CU_ASSERT_EQUAL(decode(frame, 4, &got), -EPROTO);
		set_length(frame, UINT32_MAX);
		CU_ASSERT_EQUAL(decode(frame, 4, &got), -EPROTO);
		CU_ASSERT_EQUAL(decode(frame, sizeof(frame), &got), -EPROTO);
		set_length(frame, WIRE_MAX_PAYLOAD);
		CU_ASSERT_EQUAL(decode(frame, 6, &got), -EPROTO);
	}
}

/* Is this refused, or a message that is drawn as the very same bytes? */
static bool is_refused_or_means_itself(const uint8_t *frame, size_t n)
{
	uint8_t again[WIRE_MAX_FRAME];
	struct wire_message got;
	int taken = wire_decode(frame, n, &got);

	if (taken <= 0)
		return taken == 0 || taken == -EPROTO;
	return wire_encode(&got, again, sizeof(again)) == taken &&
	       !memcmp(frame, again, (size_t)taken);
}

/* In the head of a frame every value of every byte; in the long lists after it, some of some. */
static bool check_corruption(uint8_t *frame, size_t n, size_t at)
{
	const int step = at < 100 ? 1 : 85;
	uint8_t good = frame[at];
	bool is_right = true;

	for (int value = 0; value < 256; value += step) {
		frame[at] = (uint8_t)value;
		is_right &= is_refused_or_means_itself(frame, n);
	}
	frame[at] = good;
	return is_right;
}

static void every_corrupt_byte_is_refused_or_means_itself(void)
{
	uint8_t frame[WIRE_MAX_FRAME];

	for (unsigned i = 0; i < sample_count; i++) {
		int n = encode(&samples[i], frame);
		uint8_t *exact = malloc((size_t)n);

		CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
		memcpy(exact, frame, (size_t)n);
		for (size_t at = 0; at < (size_t)n; at += at < 100 ? 1 : 7)
			CU_ASSERT(check_corruption(exact, (size_t)n, at));
		free(exact);
	}
}

/* Decodes the sample of this type with bytes of its payload replaced. */
static int decode_changed(uint16_t type, size_t at, const void *bytes, size_t len)
{
	uint8_t frame[WIRE_MAX_FRAME];
	struct wire_message got;
	unsigned i = 0;
	int n;

	while (samples[i].type != type)
		i++;
	n = encode(&samples[i], frame);
	memcpy(frame + at, bytes, len);
	return decode(frame, (size_t)n, &got);
}

static void header_fields_out_of_range_are_refused(void)
{
	CU_ASSERT_EQUAL(decode_changed(WIRE_RENEW, 4, "\0\0", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_RENEW, 4, "\x0b\0", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_RENEW, 4, "\xff\xff", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_RENEW, 6, "\1", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_RENEW, 7, "\1", 1), -EPROTO);
}

static void payload_fields_out_of_range_are_refused(void)
{
	const size_t magic = 8, version = 12, min_version = 14, name = 38;
	const size_t slab_bytes = 30, count = 12, slabs = 12;

	CU_ASSERT_EQUAL(decode_changed(WIRE_HELLO, magic, "X", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_HELLO, version, "\2\0", 2), -EPROTO);
	CU_ASSERT(decode_changed(WIRE_HELLO, min_version, "\7\0", 2) > 0);
	CU_ASSERT_EQUAL(decode_changed(WIRE_HELLO, name + 3, "\0", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_HELLO, name - 2, "\xff\xff", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_WELCOME, slab_bytes, "\0\0\0\3", 4), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_WELCOME, slab_bytes, "\0\0\x08\0", 4), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_WELCOME, slab_bytes, "\0\0\0\x08", 4), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_WELCOME, slab_bytes, "\0\0\0\0", 4), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_ERROR, 8, "\0", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_ERROR, 8, "\5", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_LEASE, slabs, "\1\1", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_GRANT, count, "\1\1", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_SHARE, 8 + 4 + WIRE_TOKEN_BYTES, "\1\1", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_SHARE, 8 + 4 + WIRE_TOKEN_BYTES, "\xff", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_SOLE, 8, "\1\1", 2), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_SOLE, 8, "\xff", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_REVOKED, 8, "\2", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_REVOKED, 8, "\0", 1), -EPROTO);
	CU_ASSERT_EQUAL(decode_changed(WIRE_REVOKED, 8, "\xff\xff\xff\xff", 4), -EPROTO);
}

static int encode_status(const struct wire_message *message)
{
	uint8_t frame[WIRE_MAX_FRAME];

	return wire_encode(message, frame, sizeof(frame));
}

static void what_no_decoder_takes_is_not_drawn(void)
{
	struct wire_message bad = samples[0];

	bad.hello.min_version = 8;
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = samples[0];
	memset(bad.hello.name, 'x', sizeof(bad.hello.name));
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = samples[1];
	bad.welcome.slab_bytes += 1;
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = samples[1];
	bad.welcome.slabs_free = bad.welcome.slabs + 1;
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = (struct wire_message){.type = WIRE_ERROR};
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = (struct wire_message){.type = WIRE_LEASE, .lease = {1, WIRE_MAX_LEASES + 1}};
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = (struct wire_message){.type = WIRE_GRANT, .grant = {.count = WIRE_MAX_LEASES + 1}};
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = (struct wire_message){.type = WIRE_RETURN, .keys = {.count = UINT32_MAX}};
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = (struct wire_message){.type = WIRE_SHARE, .share = {.count = WIRE_MAX_LEASES + 1}};
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = (struct wire_message){.type = WIRE_SOLE, .sole = {.count = WIRE_MAX_LEASES + 1}};
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad = (struct wire_message){.type = 0};
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
	bad.type = WIRE_SOLE + 1;
	CU_ASSERT_EQUAL(encode_status(&bad), -EINVAL);
}

static void a_frame_is_not_drawn_past_its_room(void)
{
	uint8_t frame[WIRE_MAX_FRAME];

	for (unsigned i = 0; i < sample_count; i++) {
		size_t n = (size_t)encode(&samples[i], frame);

		for (size_t room = 0; room < n; room += room < 200 ? 1 : 5) {
			uint8_t *exact = malloc(room ? room : 1);

			CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
			CU_ASSERT_EQUAL(wire_encode(&samples[i], exact, room), -ENOBUFS);
			free(exact);
		}
	}
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(every_message_survives_the_round_trip),
		SUITE_TEST(every_type_has_a_sample_and_a_name),
		SUITE_TEST(bytes_are_as_drawn),
		SUITE_TEST(what_follows_a_frame_is_left_alone),
		SUITE_TEST(every_truncation_is_incomplete),
		SUITE_TEST(a_wrong_length_is_refused),
		SUITE_TEST(a_length_that_cannot_be_is_refused_at_once),
		SUITE_TEST(every_corrupt_byte_is_refused_or_means_itself),
		SUITE_TEST(header_fields_out_of_range_are_refused),
		SUITE_TEST(payload_fields_out_of_range_are_refused),
		SUITE_TEST(what_no_decoder_takes_is_not_drawn),
		SUITE_TEST(a_frame_is_not_drawn_past_its_room),
		SUITE_END,
	};

	fill_samples();
	return suite_run("wire", tests);
}
