#include "common/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct hash128 hash128_of(const void *data, size_t len)
{
	XXH128_hash_t hash = XXH3_128bits(data, len);

	return (struct hash128){.low = hash.low64, .high = hash.high64};
}
