/* Numbers to try things with, the same in each run: xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
 */
#ifndef TESTS_XORSHIFT_H
#define TESTS_XORSHIFT_H

#include <stdint.h>

#define XORSHIFT_SEED UINT64_C(88172645463325252) /* any but 0 */

static inline uint64_t xorshift_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
