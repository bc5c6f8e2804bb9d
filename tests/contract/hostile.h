/*
 * What the tests of broken clients and broken donors share: a donor to be rude to, connections that
 * say what they like, and a look at what stays open. Failures are the running test's.
 */
#ifndef TESTS_CONTRACT_HOSTILE_H
#define TESTS_CONTRACT_HOSTILE_H

#include "tests/contract/contract.h"

#define HOSTILE_BLOCK 4096u

extern const struct variant hostile_shm, hostile_tcp;

/* The latest that anything may take. */
uint64_t hostile_soon(void);

/* A donor of this variant, on a thread; the running variant from now on. */
struct donor *hostile_donor(const struct variant *variant);
/* What data connections of the running variant begin with. */
uint32_t hostile_magic(void);

/* A socket that the donor has welcomed in domain 0. */
int hostile_session(const struct donor *donor);
/* To a donor that may have hung up meanwhile. */
void hostile_send(int fd, const void *bytes, size_t len);
/* Sees to it that the donor has hung up and said nothing more, and closes. */
void hostile_check_hung_up(int fd);
/* A client of domain 1 is served as ever. */
void hostile_check_others(const struct donor *donor);

/* Descriptors of this process, the donor's included. */
unsigned hostile_descriptors(void);
/* With the donor at rest: it has started, and ended whatever was connected. */
unsigned hostile_descriptors_at_rest(struct donor *donor);
/* Waits until there are so many, but not for ever. */
bool hostile_descriptors_become(unsigned want);

#endif
