/*
 * Tells the world that donord is ready, or stopping: systemd, where it asked to be told, and
 * whoever reads standard output.
 */
#ifndef DONOR_ANNOUNCE_H
#define DONOR_ANNOUNCE_H

struct donor;

/*
 * One line, flushed at once:
 *
 *   donord ready: 4.0 GiB in 128 slabs on 127.0.0.1:7471 and /run/donord.sock
 *
 * Addresses are separated by ", " and the last one by " and "; ports are the real ones, also where
 * --listen said 0. The Unix socket is the last.
 */
void announce_ready(const struct donor *donor);

void announce_stopping(void);

#endif
