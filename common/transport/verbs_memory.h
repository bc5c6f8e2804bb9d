/*
 * Makes the RDMA libraries safe to use while a page fault is served. They are loaded into a
 * namespace of their own (verbs_lib.c), and here everything that they read and write between a post
 * and its completion is put where the engine never takes memory from:
 *
 *  - what they allocate: their own calls of malloc and its family, of mmap of private memory too,
 *    are redirected to a pool (verbs_pool.h), by writing into the tables through which an object
 *    reaches functions of others (its GOT);
 *  - their variables: .bss is private anonymous memory, and is replaced by a shared mapping, that
 *    of the C library of the namespace included; .data is a mapping of a file.
 *
 * Drivers that libibverbs opens later are treated before it calls them. What the C library of the
 * namespace allocates on its own (getaddrinfo, opendir, asprintf) is not used after connecting.
 *
 * The pool does not come from the allocator of tp_options: what the libraries keep, such as their
 * list of devices, outlives each tp.
 *
 * Their destructors are taken out: they would run in exit(3) on a thread of the program and close
 * descriptors by numbers that mean other files there (the engine's threads have a table of their
 * own), and in a forked child.
 */
#ifndef COMMON_TRANSPORT_VERBS_MEMORY_H
#define COMMON_TRANSPORT_VERBS_MEMORY_H

#include "common/base/compiler.h"

/*
 * Treats every object of the namespace that `handle` is in, before any of them was called. Once for
 * each namespace; forgets the one before. 0, -ENOMEM, or -ENOEXEC if an object is not as expected.
 */
int verbs_memory_guard(void *handle) MUST_CHECK;

#endif
