#include "common/wire/wire.h"

#include "common/wire/cursor.h"

#include <errno.h>
#include <stdbool.h>

#define SLAB_BYTES_LOW (UINT64_C(1) << 20)
#define SLAB_BYTES_HIGH (UINT64_C(64) << 20)

/*
 * One pair of functions a message; what is drawn above them is the payload. A pair lists the same
 * fields in the same order, and what may not be sent is refused on both sides: a message that was
 * decoded can always be encoded again.
 */

/*
 * HELLO   u32 WIRE_MAGIC  u16 version  u16 min_version  u32 pid  host_id[16]  text name
 *
 * This layout, that of ERROR, and the header are the same in all versions, so that two programs
 * without a common version can still tell each other so.
 */
static void put_hello(struct wire_writer *to, const struct wire_message *message)
{
	const struct wire_hello *hello = &message->hello;

	to->failed |= hello->min_version > hello->version;
	wire_put_u32(to, WIRE_MAGIC);
	wire_put_u16(to, hello->version);
	wire_put_u16(to, hello->min_version);
	wire_put_u32(to, hello->pid);
	wire_put_bytes(to, hello->host_id, sizeof(hello->host_id));
	wire_put_text(to, hello->name, sizeof(hello->name));
}

static void get_hello(struct wire_reader *from, struct wire_message *out)
{
	struct wire_hello *hello = &out->hello;

	from->failed |= wire_get_u32(from) != WIRE_MAGIC;
	hello->version = wire_get_u16(from);
	hello->min_version = wire_get_u16(from);
	hello->pid = wire_get_u32(from);
	wire_get_bytes(from, hello->host_id, sizeof(hello->host_id));
	wire_get_text(from, hello->name, sizeof(hello->name));
	from->failed |= hello->min_version > hello->version;
}

/*
 * WELCOME   u16 version  u16 data_port  u16 verbs_port  u32 lease_ms  u32 renew_ms  u64 session
 *           u64 slab_bytes  u64 slabs  u64 slabs_free  token[16]  host_id[16]  text local_path
 */
static bool welcome_is_sound(const struct wire_welcome *welcome)
{
	uint64_t slab = welcome->slab_bytes;

	return slab >= SLAB_BYTES_LOW && slab <= SLAB_BYTES_HIGH && !(slab & (slab - 1)) &&
	       welcome->slabs_free <= welcome->slabs;
}

static void put_welcome(struct wire_writer *to, const struct wire_message *message)
{
	const struct wire_welcome *welcome = &message->welcome;

	to->failed |= !welcome_is_sound(welcome);
	wire_put_u16(to, welcome->version);
	wire_put_u16(to, welcome->data_port);
	wire_put_u16(to, welcome->verbs_port);
	wire_put_u32(to, welcome->lease_ms);
	wire_put_u32(to, welcome->renew_ms);
	wire_put_u64(to, welcome->session);
	wire_put_u64(to, welcome->slab_bytes);
	wire_put_u64(to, welcome->slabs);
	wire_put_u64(to, welcome->slabs_free);
	wire_put_bytes(to, welcome->token, sizeof(welcome->token));
	wire_put_bytes(to, welcome->host_id, sizeof(welcome->host_id));
	wire_put_text(to, welcome->local_path, sizeof(welcome->local_path));
}

static void get_welcome(struct wire_reader *from, struct wire_message *out)
{
	struct wire_welcome *welcome = &out->welcome;

	welcome->version = wire_get_u16(from);
	welcome->data_port = wire_get_u16(from);
	welcome->verbs_port = wire_get_u16(from);
	welcome->lease_ms = wire_get_u32(from);
	welcome->renew_ms = wire_get_u32(from);
	welcome->session = wire_get_u64(from);
	welcome->slab_bytes = wire_get_u64(from);
	welcome->slabs = wire_get_u64(from);
	welcome->slabs_free = wire_get_u64(from);
	wire_get_bytes(from, welcome->token, sizeof(welcome->token));
	wire_get_bytes(from, welcome->host_id, sizeof(welcome->host_id));
	wire_get_text(from, welcome->local_path, sizeof(welcome->local_path));
	from->failed |= !welcome_is_sound(welcome);
}

/* ERROR   u16 code  text text */
static bool error_is_sound(const struct wire_error *error)
{
	return error->code >= WIRE_E_VERSION && error->code <= WIRE_E_STOPPING;
}

static void put_error(struct wire_writer *to, const struct wire_message *message)
{
	const struct wire_error *error = &message->error;

	to->failed |= !error_is_sound(error);
	wire_put_u16(to, error->code);
	wire_put_text(to, error->text, sizeof(error->text));
}

static void get_error(struct wire_reader *from, struct wire_message *out)
{
	struct wire_error *error = &out->error;

	error->code = wire_get_u16(from);
	wire_get_text(from, error->text, sizeof(error->text));
	from->failed |= !error_is_sound(error);
}

/* LEASE   u32 request  u32 slabs */
static void put_lease(struct wire_writer *to, const struct wire_message *message)
{
	to->failed |= message->lease.slabs > WIRE_MAX_LEASES;
	wire_put_u32(to, message->lease.request);
	wire_put_u32(to, message->lease.slabs);
}

static void get_lease(struct wire_reader *from, struct wire_message *out)
{
	out->lease.request = wire_get_u32(from);
	out->lease.slabs = wire_get_u32(from);
	from->failed |= out->lease.slabs > WIRE_MAX_LEASES;
}

/* GRANT   u32 request  u32 count  u64 slabs_free  count × (u64 key  u64 address  u32 rkey) */
static void put_grant(struct wire_writer *to, const struct wire_message *message)
{
	const struct wire_grant *grant = &message->grant;

	if (grant->count > WIRE_MAX_LEASES) {
		to->failed = true;
		return;
	}
	wire_put_u32(to, grant->request);
	wire_put_u32(to, grant->count);
	wire_put_u64(to, grant->slabs_free);
	for (uint32_t i = 0; i < grant->count; i++) {
		wire_put_u64(to, grant->slabs[i].key);
		wire_put_u64(to, grant->slabs[i].address);
		wire_put_u32(to, grant->slabs[i].rkey);
	}
}

static void get_grant(struct wire_reader *from, struct wire_message *out)
{
	struct wire_grant *grant = &out->grant;

	grant->request = wire_get_u32(from);
	grant->count = wire_get_u32(from);
	grant->slabs_free = wire_get_u64(from);
	if (grant->count > WIRE_MAX_LEASES) {
		from->failed = true;
		return;
	}
	for (uint32_t i = 0; i < grant->count; i++) {
		grant->slabs[i].key = wire_get_u64(from);
		grant->slabs[i].address = wire_get_u64(from);
		grant->slabs[i].rkey = wire_get_u32(from);
	}
}

/* RETURN, REVOKED   u32 count  count × u64 key */
static void put_keys(struct wire_writer *to, const struct wire_message *message)
{
	const struct wire_keys *keys = &message->keys;

	if (keys->count > WIRE_MAX_LEASES) {
		to->failed = true;
		return;
	}
	wire_put_u32(to, keys->count);
	for (uint32_t i = 0; i < keys->count; i++)
		wire_put_u64(to, keys->keys[i]);
}

static void get_keys(struct wire_reader *from, struct wire_message *out)
{
	struct wire_keys *keys = &out->keys;

	keys->count = wire_get_u32(from);
	if (keys->count > WIRE_MAX_LEASES) {
		from->failed = true;
		return;
	}
	for (uint32_t i = 0; i < keys->count; i++)
		keys->keys[i] = wire_get_u64(from);
}

/* RENEWED   u64 slabs_free */
static void put_renewed(struct wire_writer *to, const struct wire_message *message)
{
	wire_put_u64(to, message->renewed.slabs_free);
}

static void get_renewed(struct wire_reader *from, struct wire_message *out)
{
	out->renewed.slabs_free = wire_get_u64(from);
}

/* SHARE   u32 request  token[16]  u32 count  count × u64 key */
static void put_share(struct wire_writer *to, const struct wire_message *message)
{
	const struct wire_share *share = &message->share;

	if (share->count > WIRE_MAX_LEASES) {
		to->failed = true;
		return;
	}
	wire_put_u32(to, share->request);
	wire_put_bytes(to, share->token, sizeof(share->token));
	wire_put_u32(to, share->count);
	for (uint32_t i = 0; i < share->count; i++)
		wire_put_u64(to, share->keys[i]);
}

static void get_share(struct wire_reader *from, struct wire_message *out)
{
	struct wire_share *share = &out->share;

	share->request = wire_get_u32(from);
	wire_get_bytes(from, share->token, sizeof(share->token));
	share->count = wire_get_u32(from);
	if (share->count > WIRE_MAX_LEASES) {
		from->failed = true;
		return;
	}
	for (uint32_t i = 0; i < share->count; i++)
		share->keys[i] = wire_get_u64(from);
}

/* SOLE   u32 count  count × (u64 key  u32 shares) */
static void put_sole(struct wire_writer *to, const struct wire_message *message)
{
	const struct wire_sole *sole = &message->sole;

	if (sole->count > WIRE_MAX_LEASES) {
		to->failed = true;
		return;
	}
	wire_put_u32(to, sole->count);
	for (uint32_t i = 0; i < sole->count; i++) {
		wire_put_u64(to, sole->leases[i].key);
		wire_put_u32(to, sole->leases[i].shares);
	}
}

static void get_sole(struct wire_reader *from, struct wire_message *out)
{
	struct wire_sole *sole = &out->sole;

	sole->count = wire_get_u32(from);
	if (sole->count > WIRE_MAX_LEASES) {
		from->failed = true;
		return;
	}
	for (uint32_t i = 0; i < sole->count; i++) {
		sole->leases[i].key = wire_get_u64(from);
		sole->leases[i].shares = wire_get_u32(from);
	}
}

/* RENEW, BYE   nothing */
static void put_nothing(UNUSED struct wire_writer *to, UNUSED const struct wire_message *message)
{
}

static void get_nothing(UNUSED struct wire_reader *from, UNUSED struct wire_message *out)
{
}

/*
 * The shortest and longest payload of each type, so that a header alone shows a frame that can
 * never be: nobody may make the other side collect 8 KiB for a RENEW.
 */
static const struct codec {
	const char *name;
	void (*put)(struct wire_writer *to, const struct wire_message *message);
	void (*get)(struct wire_reader *from, struct wire_message *out);
	uint32_t low, high;
} codecs[] = {
	[WIRE_HELLO] = {"hello", put_hello, get_hello, 30, 30 + WIRE_NAME_BYTES - 1},
	[WIRE_WELCOME] = {"welcome", put_welcome, get_welcome, 80, 80 + WIRE_PATH_BYTES - 1},
	[WIRE_ERROR] = {"error", put_error, get_error, 4, 4 + WIRE_TEXT_BYTES - 1},
	[WIRE_LEASE] = {"lease", put_lease, get_lease, 8, 8},
	[WIRE_GRANT] = {"grant", put_grant, get_grant, 16, 16 + 20 * WIRE_MAX_LEASES},
	[WIRE_RETURN] = {"return", put_keys, get_keys, 4, 4 + 8 * WIRE_MAX_LEASES},
	[WIRE_RENEW] = {"renew", put_nothing, get_nothing, 0, 0},
	[WIRE_RENEWED] = {"renewed", put_renewed, get_renewed, 8, 8},
	[WIRE_REVOKED] = {"revoked", put_keys, get_keys, 4, 4 + 8 * WIRE_MAX_LEASES},
	[WIRE_BYE] = {"bye", put_nothing, get_nothing, 0, 0},
	[WIRE_SHARE] = {"share", put_share, get_share, 24, 24 + 8 * WIRE_MAX_LEASES},
	[WIRE_SOLE] = {"sole", put_sole, get_sole, 4, 4 + 12 * WIRE_MAX_LEASES},
};

_Static_assert(16 + 20 * WIRE_MAX_LEASES <= WIRE_MAX_PAYLOAD, "the largest message fits");

static const struct codec *codec_of(uint16_t type)
{
	if (type >= ARRAY_LEN(codecs) || !codecs[type].name)
		return NULL;
	return &codecs[type];
}

const char *wire_type_name(uint16_t type)
{
	const struct codec *codec = codec_of(type);

	return codec ? codec->name : "unknown";
}

int wire_encode(const struct wire_message *message, uint8_t *out, size_t room)
{
	const struct codec *codec = codec_of(message->type);
	struct wire_writer header = {out, out + room, false, false};
	struct wire_writer to;

	if (!codec)
		return -EINVAL;
	if (room < WIRE_HEADER_BYTES)
		return -ENOBUFS;
	to = (struct wire_writer){out + WIRE_HEADER_BYTES, out + room, false, false};
	codec->put(&to, message);
	if (to.failed)
		return -EINVAL;
	if (to.is_full)
		return -ENOBUFS;
	wire_put_u32(&header, (uint32_t)(to.at - out - WIRE_HEADER_BYTES));
	wire_put_u16(&header, message->type);
	wire_put_u16(&header, 0);
	return (int)(to.at - out);
}

/*
 * What of the header is there: false as soon as it cannot be one. A part that has not arrived is
 * taken for good.
 */
static bool header_may_be(const uint8_t *bytes, size_t len, uint32_t *payload, uint16_t *type)
{
	struct wire_reader from = {bytes, bytes + len, false};
	const struct codec *codec;

	*payload = wire_get_u32(&from);
	if (*payload > WIRE_MAX_PAYLOAD)
		return false;
	*type = wire_get_u16(&from);
	if (from.failed)
		return true;
	codec = codec_of(*type);
	if (!codec || *payload < codec->low || *payload > codec->high)
		return false;
	return wire_get_u16(&from) == 0;
}

int wire_decode(const uint8_t *bytes, size_t len, struct wire_message *out)
{
	struct wire_message message = {0};
	struct wire_reader from;
	uint32_t payload;

	if (!header_may_be(bytes, len, &payload, &message.type))
		return -EPROTO;
	if (len < WIRE_HEADER_BYTES || len - WIRE_HEADER_BYTES < payload)
		return 0;
	bytes += WIRE_HEADER_BYTES;
	from = (struct wire_reader){bytes, bytes + payload, false};
	codecs[message.type].get(&from, &message);
	if (from.failed || from.at != from.end)
		return -EPROTO;
	*out = message;
	return (int)(WIRE_HEADER_BYTES + payload);
}
