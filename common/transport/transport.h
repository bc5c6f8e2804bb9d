/*
 * One-sided reads and writes of another host's registered memory, and nothing more.
 *
 * Client side (the engine): a struct tp of one kind, connections on it, requests on those. Server
 * side (donord): a struct tp_server of one kind, a domain per client, exported memory in each.
 *
 *      engine                                    donord
 *      tp_connect(target, token) ── socket ──▶   tp_server_take(fd): finds the domain by token
 *      tp_attach(key, bytes)                     tp_domain_export(domain, memory) -> key
 *      tp_post(READ/WRITE of key+offset) ─────▶  memcpy (tcp), nothing at all (shm, verbs)
 *      tp_poll() ◀────────────────────────────
 *
 * What every transport promises, and tests/contract checks for each of them:
 *  1. Every accepted request completes exactly once, also after a failure.
 *  2. tp_post() never blocks; it accepts a prefix and says how many. 0 means "full: poll first".
 *  3. Requests in flight have no order among each other.
 *  4. A completed WRITE is seen by every READ posted afterwards, on any connection to that donor.
 *  5. The first failure ends the connection: its request completes with the cause, the others and
 *     all later ones with -ECANCELED; tp_post() then accepts nothing and returns the cause.
 *  6. A local buffer belongs to the transport from tp_post() until its request completes.
 *
 * Threads: a struct tp may be shared; a connection is used by one thread at a time (its owner).
 * After tp_connect() and tp_attach(), posting and polling allocate nothing, take no lock, and touch
 * only memory from the allocator given in tp_options and the caller's buffers, so that they may be
 * used while serving a page fault. tp_connect() and tp_attach() may block (bounded) and are not for
 * that path. tp_attach() may run on another thread than the connection's owner at any time: no
 * request names its handle before it returns. tp_detach() only when no request names the handle any
 * more and none is in flight.
 *
 * Errors besides the usual ones: -ECONNRESET the peer went, -EPROTO it broke the protocol,
 * -EACCES the donor refuses key or range, -ETIMEDOUT it did not answer within the time. verbs adds
 * -ENETDOWN the port is down, -EMSGSIZE the donor's MTU is smaller, -EFAULT a local buffer was not
 * registered.
 */
#ifndef COMMON_TRANSPORT_TRANSPORT_H
#define COMMON_TRANSPORT_TRANSPORT_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

#define TP_TOKEN_BYTES 16

/* Most bytes of one request. A window of 64 pages. */
#define TP_MAX_BYTES (256u * 1024)

enum tp_kind { TP_SHM, TP_TCP, TP_VERBS, TP_KINDS };

/* "shm", "tcp", "verbs". */
const char *tp_kind_name(enum tp_kind kind);
int tp_kind_parse(const char *text, enum tp_kind *out) MUST_CHECK;

/* ---- client ---- */

struct tp;
struct tp_conn;

struct tp_options {
	/*
	 * Where tp, connections and their queues live. alloc returns zeroed memory or NULL; both
	 * may be NULL for calloc and free. The engine gives memory that is never paged out.
	 */
	void *(*alloc)(void *arg, size_t bytes);
	void (*free)(void *arg, void *ptr, size_t bytes);
	void *arg;
	unsigned depth;		     /* requests in flight per connection; 0 for 256 */
	unsigned connect_timeout_ms; /* 0 for 2000 */
};

/*
 * Opens the client side. shm and tcp always succeed but for -ENOMEM; verbs fails with -ENODEV where
 * there is no RDMA device, or no library to use one with.
 */
int tp_open(enum tp_kind kind, const struct tp_options *options, struct tp **out) MUST_CHECK;
void tp_close(struct tp *tp); /* connections first */
enum tp_kind tp_kind(const struct tp *tp);

/*
 * What made the last tp_open(), tp_register(), tp_connect(), tp_server_open(), tp_server_listen(),
 * tp_domain_open() or tp_domain_export() of this thread fail, in words, where the errno alone would
 * not tell what to do: "rxe0 port 1 is down". "" if the errno says it all.
 */
const char *tp_why(void);
/* That, or what the errno says. Until the next call of this thread. */
const char *tp_reason(int err);

/*
 * Makes [base, base+bytes) usable as local buffers of requests. Needed by verbs, free elsewhere.
 * The memory must outlive the tp. verbs: -ENOSPC from the 65th on, -ENOMEM beyond RLIMIT_MEMLOCK.
 * What is registered after a connection was made can be used there, too.
 */
int tp_register(struct tp *tp, void *base, size_t bytes) MUST_CHECK;

struct sockaddr;

struct tp_target {
	const char *host; /* tcp, verbs: name or address; its route decides the device */
	/*
	 * tcp, verbs: used instead of host and port if not NULL: an IPv4 or IPv6 address with its
	 * port. Then tp_connect() calls nothing that may allocate from the C library.
	 */
	const struct sockaddr *address;
	uint16_t port;		       /* tcp, verbs */
	const char *path;	       /* shm: the donor's Unix socket */
	uint8_t token[TP_TOKEN_BYTES]; /* from the control session: whose domain this is */
};

/* Blocks for at most connect_timeout_ms. -EACCES: the donor knows no such token. */
int tp_connect(struct tp *tp, const struct tp_target *target, struct tp_conn **out) MUST_CHECK;
/*
 * Completes nothing any more: what was in flight is the caller's again. A WRITE that was in flight
 * may still take effect at the donor, soon or not at all, as may one that completed with an error.
 */
void tp_disconnect(struct tp_conn *conn);

/*
 * Makes a lease's memory reachable on this connection: shm maps it here, tcp and verbs note the
 * bounds. Not for the fault path. rkey and remote base only matter to verbs.
 */
struct tp_remote {
	uint64_t key; /* from the lease; never used twice by a donor */
	uint64_t bytes;
	uint64_t address; /* verbs: remote virtual address */
	uint32_t rkey;	  /* verbs */
};
/* handle: small number to put in requests. At most TP_MAX_REMOTES per connection: -ENOSPC. */
#define TP_MAX_REMOTES 65536
int tp_attach(struct tp_conn *conn, const struct tp_remote *remote, uint32_t *handle) MUST_CHECK;
void tp_detach(struct tp_conn *conn, uint32_t handle);

enum tp_op { TP_READ, TP_WRITE };

struct tp_request {
	enum tp_op op;
	uint32_t handle; /* from tp_attach() */
	uint64_t offset; /* within the remote memory */
	void *local;	 /* READ: filled; WRITE: source */
	uint32_t bytes;	 /* 1 to TP_MAX_BYTES */
	uint64_t cookie; /* returned in the completion */
};

struct tp_completion {
	uint64_t cookie;
	int status; /* 0 or a negative errno */
};

/*
 * Returns how many of `requests`, from the first on, were accepted (0..n), or, if none can be any
 * more, the negative errno that ended the connection. A request out of the attached bounds is
 * accepted and completes with -EACCES (and ends the connection), as it would on the wire.
 */
int tp_post(struct tp_conn *conn, const struct tp_request *requests, unsigned n) MUST_CHECK;

/* Moves data and returns up to `max` completions; 0 if there are none. Never blocks. */
int tp_poll(struct tp_conn *conn, struct tp_completion *out, unsigned max) MUST_CHECK;

/*
 * Before sleeping: returns 0 and a descriptor and poll(2) events to wait for, or -EAGAIN when there
 * is something to poll already; when everything is reported, the errno that ended the connection.
 * (shm completes at once: there the descriptor only tells that the donor is gone.) Wake up once a
 * second at least while requests are in flight: a donor that is there but silent is noticed by
 * tp_poll() alone, which then ends the connection with -ETIMEDOUT.
 */
int tp_arm(struct tp_conn *conn, int *fd, short *events) MUST_CHECK;

/*
 * The connection's descriptors, all close-on-exec; returns how many. While copies of them are open
 * in a forked child, the end of this process does not end the connection: the child closes them,
 * and does nothing else with it. To be asked before the fork: much of a connection's memory is not
 * in the child. verbs: some belong to the tp, so that one connection's are enough
 * for all of its connections through that device. Any thread.
 */
#define TP_MAX_DESCRIPTORS 8
unsigned tp_descriptors(const struct tp_conn *conn, int out[TP_MAX_DESCRIPTORS]);

/*
 * 0 while the connection lives, else the errno that ended it. Any thread. An end is noticed by
 * posting and polling, within a millisecond or so of doing either.
 */
int tp_error(const struct tp_conn *conn);

/* ---- server ---- */

struct tp_server;
struct tp_domain;

/* Finds the domain that a token opens; NULL if there is none. Runs on the loop's thread. */
typedef struct tp_domain *tp_find_fn(void *arg, const uint8_t token[TP_TOKEN_BYTES]);

/*
 * First four bytes that a data connection of this kind sends, little endian: the donor listens on
 * one port, peeks, and hands the socket to the server of that kind.
 */
#define TP_TCP_MAGIC 0x4454504cu   /* "LPTD" */
#define TP_SHM_MAGIC 0x4453504cu   /* "LPSD" */
#define TP_VERBS_MAGIC 0x4456504cu /* "LPVD": in the private data of the connection request */

int tp_server_open(enum tp_kind kind, struct loop *loop, tp_find_fn *find, void *arg,
		   struct tp_server **out) MUST_CHECK;
void tp_server_close(struct tp_server *server); /* domains first */

/*
 * Takes an accepted socket whose magic is not yet read. Owns fd from now on, also on failure.
 * -EOPNOTSUPP for verbs.
 */
int tp_server_take(struct tp_server *server, int fd) MUST_CHECK;

/*
 * verbs: listens for connections itself, on this address and port (0: any; the one it got comes
 * out). Its port numbers are not those of tcp: the same number may be in use there, and best is.
 * Before the first domain, since the address decides on the device; with a wildcard address it is
 * the first one that has a port that is up. Several addresses of one device are possible.
 * -EOPNOTSUPP for the other kinds, -ENODEV if the address belongs to no device, -EXDEV to another
 * one than the addresses before, -EADDRINUSE.
 */
int tp_server_listen(struct tp_server *server, const char *host, uint16_t port,
		     uint16_t *bound_port) MUST_CHECK;

/*
 * For the idle hook of the loop: serves connections that had a request a moment ago without waiting
 * for the kernel to wake us. Positive while there are such; 0 when it is time to sleep. Once it was
 * called it has to be called before every sleep.
 */
int tp_server_spin(struct tp_server *server) MUST_CHECK;

/* A client's protection domain: memory exported in it is reachable only by its connections. */
int tp_domain_open(struct tp_server *server, struct tp_domain **out) MUST_CHECK;
/*
 * Ends its connections at once; what is exported stays so, for others to come. After this returns
 * nothing that was posted on them takes effect any more.
 */
void tp_domain_cut(struct tp_domain *domain);
/* Ends its connections and exports at once. */
void tp_domain_close(struct tp_domain *domain);

struct tp_export {
	uint64_t key; /* chosen by the donor, never used twice */
	void *base;   /* mapped memory, stays until revoked */
	uint64_t bytes;
	int memfd; /* sealed memfd that holds it, for shm; -1 if there is none */
};

/* out: address and rkey for verbs; key and bytes as given. */
int tp_domain_export(struct tp_domain *domain, const struct tp_export *memory,
		     struct tp_remote *out) MUST_CHECK;
/*
 * After this returns no request touches the memory any more. (shm: a client that has mapped it
 * keeps its mapping; the donor must drop the memfd and never lend it again.)
 */
void tp_domain_revoke(struct tp_domain *domain, uint64_t key);

struct tp_server_stats {
	uint64_t connections; /* open now */
	uint64_t reads, writes, read_bytes, written_bytes, refused;
};
void tp_server_stats(const struct tp_server *server, struct tp_server_stats *out);

#endif
