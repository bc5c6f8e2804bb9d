/* The Makefile compiles this file with -mavx2, by which xxHash chooses its instructions. */
#include "common/base/hash_vector.h"

#if defined(HASH_HAS_AVX2) && defined(__AVX2__)

#define XXH_INLINE_ALL
#include <xxhash.h>

struct hash128 hash128_avx2(const void *data, size_t len)
{
	XXH128_hash_t hash = XXH3_128bits(data, len);

	return (struct hash128){.low = hash.low64, .high = hash.high64};
}

#endif
