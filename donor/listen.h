/*
 * Where donord listens: TCP addresses and a Unix socket. Accepted connections go to the door. When
 * there is no descriptor left for another connection, all of them rest until the next sweep instead
 * of trying in vain as fast as they can.
 */
#ifndef DONOR_LISTEN_H
#define DONOR_LISTEN_H

#include "common/base/compiler.h"
#include "donor/options.h"
#include "donor/peer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct donor;
struct loop_watch;

struct listener {
	struct donor *donor;
	int fd;
	bool is_local;
	uint16_t verbs_port; /* of RDMA at the same address; 0 for none: rdma.h */
	struct loop_watch *watch;
	char text[WIRE_PATH_BYTES > PEER_TEXT_BYTES ? WIRE_PATH_BYTES : PEER_TEXT_BYTES];
};

struct listeners {
	unsigned count;
	struct listener each[DONOR_MAX_LISTEN + 1]; /* TCP first, the Unix socket last */
	bool is_resting;
	uint16_t tcp_port;		  /* of the first address, 0 if there is none */
	char local_path[WIRE_PATH_BYTES]; /* absolute, "" if there is none */
	ino_t local_inode;		  /* is it still our file when it is to be removed? */
};

/*
 * Listens wherever the options say. On failure nothing is left listening, and `why` says in one
 * line what to do.
 */
int listeners_open(struct donor *donor, char why[DONOR_WHY_BYTES]) MUST_CHECK;
/* Stops listening and removes the socket's file. May be called twice. */
void listeners_close(struct listeners *listeners);

/* Tries again after a rest. */
void listeners_sweep(struct listeners *listeners);

/* In listen_local.c: a socket bound to `path` (absolute), a dead donord's file replaced. */
int listen_bind_local(const char *path, int *out, char why[DONOR_WHY_BYTES]) MUST_CHECK;

/*
 * Makes `path` absolute, or, for DONOR_LOCAL_AUTO, chooses one by the port: in /run if that can be
 * written, else in $XDG_RUNTIME_DIR; "" if there is neither.
 */
int listen_local_path(const struct donor_options *options, uint16_t port, char out[WIRE_PATH_BYTES],
		      char why[DONOR_WHY_BYTES]) MUST_CHECK;

#endif
