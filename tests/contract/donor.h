/*
 * A small donor for the contract suite: a server of one kind on a loop of its own, two domains with
 * a few sealed memfds exported in each. Over verbs it listens on donor_rdma_host(). It runs on a
 * thread, or as a process that can be stopped and killed. The tests share its memory and may look
 * at it.
 */
#ifndef TESTS_CONTRACT_DONOR_H
#define TESTS_CONTRACT_DONOR_H

#include "common/transport/transport.h"

#include <sys/types.h>

#define DONOR_DOMAINS 2u
#define DONOR_SLABS 4u
#define DONOR_SLAB_BYTES ((uint64_t)1 << 20)

struct donor;

/*
 * An address of this host that belongs to an RDMA device, of this family (AF_INET6; AF_UNSPEC:
 * any); NULL if there is none: then tp_why() may say why. Valid until the next call.
 */
const char *donor_rdma_address(int family);

/* The one that donors listen on: the environment's RDMA_HOST, if set, or the first one there is. */
const char *donor_rdma_host(void);

enum donor_place { DONOR_THREAD, DONOR_PROCESS };

/*
 * The suite cannot go on without one: these end the program when they fail, and a watchdog ends it
 * when a donor is not stopped within minutes.
 */
struct donor *donor_start(enum tp_kind kind, enum donor_place place);
void donor_stop(struct donor *donor);

/* How to connect to a domain, and what is exported there. */
struct tp_target donor_target(const struct donor *donor, unsigned domain);
struct tp_remote donor_remote(const struct donor *donor, unsigned domain, unsigned slab);
/* The memory itself, mapped here. */
uint8_t *donor_memory(const struct donor *donor, unsigned domain, unsigned slab);
/* Its first byte, read so that a write going on beside it is no race. */
uint8_t donor_peek(const struct donor *donor, unsigned domain, unsigned slab);

/* DONOR_PROCESS only. donor_stop() is still needed after SIGKILL. */
pid_t donor_pid(const struct donor *donor);
void donor_signal(struct donor *donor, int signal);

/* DONOR_THREAD only. Each returns when the loop's thread has done it. */
void donor_revoke(struct donor *donor, unsigned domain, unsigned slab);
void donor_cut(struct donor *donor, unsigned domain);
void donor_close_domain(struct donor *donor, unsigned domain);
struct tp_server_stats donor_stats(struct donor *donor);
/* CPU time that the loop's thread has used. */
uint64_t donor_cpu_ns(const struct donor *donor);

/* A plain connection to the donor's socket, nothing said yet. Not for verbs. */
int donor_dial(const struct donor *donor);

#endif
