/*
 * What hash.c chooses from, by what the CPU has: the same hash, compiled for other instructions.
 */
#ifndef COMMON_BASE_HASH_VECTOR_H
#define COMMON_BASE_HASH_VECTOR_H

#include "common/base/hash.h"

#if defined(__x86_64__)
#define HASH_HAS_AVX2 1
struct hash128 hash128_avx2(const void *data, size_t len);
#endif

/* With what every CPU of the architecture has. */
struct hash128 hash128_plain(const void *data, size_t len);

#endif
