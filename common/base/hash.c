#include "common/base/hash_vector.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct hash128 hash128_plain(const void *data, size_t len)
{
	XXH128_hash_t hash = XXH3_128bits(data, len);

	return (struct hash128){.low = hash.low64, .high = hash.high64};
}

#ifdef HASH_HAS_AVX2

static bool has_avx2;

/* What hashes before this has run gets the same by the plain way. */
__attribute__((constructor)) static void look_at_cpu(void)
{
	__builtin_cpu_init();
	has_avx2 = __builtin_cpu_supports("avx2");
}

struct hash128 hash128_of(const void *data, size_t len)
{
	return has_avx2 ? hash128_avx2(data, len) : hash128_plain(data, len);
}

#else

struct hash128 hash128_of(const void *data, size_t len)
{
	return hash128_plain(data, len);
}

#endif
