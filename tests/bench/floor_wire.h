/*
 * The cheapest ways to have 4 KiB from elsewhere: memory shared with another process, and a small
 * server behind a TCP connection over loopback, which sleeps or spins as its client does. What they
 * keep is the content of every page, version 0 (content.h). For bench_floor alone, on one thread.
 */
#ifndef TESTS_BENCH_FLOOR_WIRE_H
#define TESTS_BENCH_FLOOR_WIRE_H

#include "common/base/compiler.h"

#include <stdint.h>

#define FLOOR_WIRE_MAX_PAGES 64u /* of one read */

enum floor_wire_kind { FLOOR_SHM, FLOOR_TCP_SPIN, FLOOR_TCP_SLEEP };

struct floor_wire {
	enum floor_wire_kind kind;
	int fd;		/* tcp: the connection */
	int pid;	/* tcp: the server, a child */
	uint8_t *pages; /* shm: all of them; tcp: those of the last read */
	uint64_t bytes; /* of `pages` */
};

/* Makes so many pages, and for tcp a child process that has them. */
int floor_wire_open(enum floor_wire_kind kind, uint64_t pages, uint64_t seed,
		    struct floor_wire *out) MUST_CHECK;
void floor_wire_close(struct floor_wire *wire);

/*
 * Where `count` pages from `page` on are, until the next read; NULL when the server is gone. Only
 * async-signal-safe calls.
 */
const void *floor_wire_read(struct floor_wire *wire, uint64_t page, unsigned count) MUST_CHECK;

#endif
