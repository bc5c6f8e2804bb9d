/*
 * Connections that have not yet said what they are. The first four bytes tell a control session
 * from a data connection of either kind; whoever says anything else, or nothing for
 * DOOR_PATIENCE_NS, is closed. They are few: when one too many comes, the one that has waited
 * longest goes, since who has something to say says it at once.
 */
#ifndef DONOR_DOOR_H
#define DONOR_DOOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct donor;

#define DOOR_MAX 256 /* a guess: far more than ever connect at one moment */
#define DOOR_PATIENCE_NS (5ull * 1000000000)

struct door {
	TAILQ_HEAD(, caller) callers; /* longest waiting first */
	unsigned count;
};

void door_open(struct donor *donor);
/* Closes those that wait. */
void door_close(struct donor *donor);

/* Takes an accepted connection. Owns fd from now on. */
void door_take(struct donor *donor, int fd, bool is_local);

/* Looks again at those that have said a part, and closes those whose time is over. */
void door_sweep(struct donor *donor, uint64_t now_ns);

#endif
