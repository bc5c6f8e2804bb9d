/*
 * The control protocol between engine (or pagerctl) and donord: messages to bytes and back. A pure
 * codec: no sockets, no allocation, no clock. docs/protocol.md says who sends what when.
 *
 * A frame, all numbers little endian:
 *
 *      0        4        6        8                     8 + length
 *      ┌────────┬────────┬────────┬──────────────────────┐
 *      │ length │  type  │ zero   │ payload              │
 *      └────────┴────────┴────────┴──────────────────────┘
 *
 * The first frame on a connection is HELLO, and its payload begins with WIRE_MAGIC; so do the first
 * bytes of the connection: a HELLO frame is preceded by the four bytes of WIRE_MAGIC, which let the
 * donor tell a control connection from a data connection on one port.
 *
 * Every decoder takes bytes from strangers: it checks every length, refuses what is left over
 * (-EPROTO), and never reads past `len`. Strings are length-prefixed (u16), without NUL inside.
 */
#ifndef COMMON_WIRE_WIRE_H
#define COMMON_WIRE_WIRE_H

#include "common/base/compiler.h"

#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC 0x5243504cu /* "LPCR" */
#define WIRE_VERSION 1
#define WIRE_HEADER_BYTES 8
#define WIRE_MAX_PAYLOAD 8192 /* a guess with room: the largest message has 256 leases */
#define WIRE_DEFAULT_PORT 7471

#define WIRE_MAX_LEASES 256 /* per message */
#define WIRE_HOST_ID_BYTES 16
#define WIRE_TOKEN_BYTES 16
#define WIRE_NAME_BYTES 64  /* client name, its end included */
#define WIRE_PATH_BYTES 108 /* sun_path */
#define WIRE_TEXT_BYTES 200

enum wire_type {
	WIRE_HELLO = 1, /* client: who I am */
	WIRE_WELCOME,	/* donor: your session */
	WIRE_ERROR,	/* donor: refused, and why; the connection ends */
	WIRE_LEASE,	/* client: lend me slabs */
	WIRE_GRANT,	/* donor: these (fewer or none when full) */
	WIRE_RETURN,	/* client: take these back */
	WIRE_RENEW,	/* client: I live */
	WIRE_RENEWED,	/* donor: so I see; how much is free */
	WIRE_REVOKED,	/* donor: these leases are over (expired, or taken back) */
	WIRE_BYE,	/* client: done; everything is yours again */
	WIRE_SHARE,	/* client: lend me what that session has, too; answered by a GRANT */
	WIRE_SOLE,	/* donor: nobody else has what these lend any more */
};

struct wire_hello {
	uint16_t version;     /* highest the client speaks */
	uint16_t min_version; /* lowest */
	uint32_t pid;
	uint8_t host_id[WIRE_HOST_ID_BYTES]; /* boot id: same bytes, same running kernel */
	char name[WIRE_NAME_BYTES];	     /* program name, for the donor's log */
};

struct wire_welcome {
	uint16_t version;    /* chosen */
	uint16_t data_port;  /* tcp data connections; usually the port just connected to */
	uint16_t verbs_port; /* the same over RDMA; 0: not offered */
	uint32_t lease_ms;   /* a lease ends this long after the last RENEW */
	uint32_t renew_ms;   /* so often the donor wants to hear RENEW */
	uint64_t session;
	uint64_t slab_bytes; /* power of two, 1 MiB to 64 MiB */
	uint64_t slabs;	     /* lent in all */
	uint64_t slabs_free;
	uint8_t token[WIRE_TOKEN_BYTES];     /* opens data connections of this session */
	uint8_t host_id[WIRE_HOST_ID_BYTES]; /* of the donor */
	char local_path[WIRE_PATH_BYTES];    /* its Unix socket, "" if none */
};

enum wire_error_code {
	WIRE_E_VERSION = 1, /* no common version */
	WIRE_E_PROTOCOL,    /* garbage, or a message out of turn */
	WIRE_E_BUSY,	    /* too many sessions */
	WIRE_E_STOPPING,    /* the donor is going away */
};

struct wire_error {
	uint16_t code;
	char text[WIRE_TEXT_BYTES];
};

struct wire_lease {
	uint32_t request; /* echoed in the GRANT */
	uint32_t slabs;	  /* wanted, at most WIRE_MAX_LEASES */
};

struct wire_slab {
	uint64_t key;	  /* names the lease and its memory; never used twice by a donor */
	uint64_t address; /* verbs, else 0 */
	uint32_t rkey;	  /* verbs, else 0 */
};

struct wire_grant {
	uint32_t request;
	uint32_t count;
	uint64_t slabs_free;
	struct wire_slab slabs[WIRE_MAX_LEASES];
};

/* RETURN and REVOKED. */
struct wire_keys {
	uint32_t count;
	uint64_t keys[WIRE_MAX_LEASES];
};

struct wire_share {
	uint32_t request; /* echoed in the GRANT, which has as many slabs, in this order, or none */
	uint8_t token[WIRE_TOKEN_BYTES]; /* of the session whose leases these are */
	uint32_t count;
	uint64_t keys[WIRE_MAX_LEASES];
};

struct wire_sole {
	uint32_t count;
	struct wire_sole_lease {
		uint64_t key;
		uint32_t shares; /* how often that lease had been shared when it was noticed */
	} leases[WIRE_MAX_LEASES];
};

struct wire_renewed {
	uint64_t slabs_free;
};

/* A decoded message. RENEW and BYE have no payload. */
struct wire_message {
	uint16_t type;
	union {
		struct wire_hello hello;
		struct wire_welcome welcome;
		struct wire_error error;
		struct wire_lease lease;
		struct wire_grant grant;
		struct wire_keys keys; /* RETURN, REVOKED */
		struct wire_renewed renewed;
		struct wire_share share;
		struct wire_sole sole;
	};
};

/* Most bytes a frame has: wire_encode() never needs more. */
#define WIRE_MAX_FRAME (WIRE_HEADER_BYTES + WIRE_MAX_PAYLOAD)

/*
 * Writes the frame. Returns its length, -EINVAL for a message that cannot be drawn, or -ENOBUFS if
 * the room is too small for it.
 */
int wire_encode(const struct wire_message *message, uint8_t *out, size_t room) MUST_CHECK;

/*
 * Reads one frame from the front of `bytes`. Returns how many bytes it took, 0 if it is not
 * complete yet, -EPROTO if it can never become one. `out` is written only on success.
 */
int wire_decode(const uint8_t *bytes, size_t len, struct wire_message *out) MUST_CHECK;

const char *wire_type_name(uint16_t type);

#endif
