/*
 * Counts what a thread allocates: malloc, calloc and realloc of all objects of the program are
 * linked to counters (scripts/contract.mk, ld's --wrap).
 */
#ifndef TESTS_CONTRACT_MALLOCS_H
#define TESTS_CONTRACT_MALLOCS_H

/* Allocations of the calling thread since its start. */
unsigned long mallocs_of_this_thread(void);

#endif
