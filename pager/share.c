#include "pager/share.h"

#define SECOND UINT64_C(1000000000)
#define FEW_LEFT 16u	  /* less than this part of the total: it is as good as used up */
#define OFTEN 100u	  /* pages a second; who misses less is well off. A guess */
#define TIMES_AS_OFTEN 2u /* before memory moves: what is alike stays as it is */
#define HALF_NS (2 * SECOND)

struct sum {
	uint64_t used, most_missing;
	uint64_t above; /* of those that have more than an equal part, what is more */
	unsigned growing;
};

static uint64_t above(uint64_t pages, uint64_t mark)
{
	return pages > mark ? pages - mark : 0;
}

/* Of all; `self` counts as growing, since the question is how far it might. */
static struct sum sum_up(const struct share_member *members, unsigned n, unsigned self,
			 uint64_t total)
{
	struct sum sum = {0};

	for (unsigned i = 0; i < n; i++) {
		sum.used += members[i].used;
		sum.above += above(members[i].used, total / n);
		sum.growing += members[i].grows || i == self;
		if (members[i].missing > sum.most_missing)
			sum.most_missing = members[i].missing;
	}
	return sum;
}

static bool is_needed_elsewhere(const struct share_member *member, uint64_t most_missing)
{
	return most_missing > OFTEN && most_missing > member->missing * TIMES_AS_OFTEN;
}

static uint64_t at_least(uint64_t pages, uint64_t least)
{
	return pages > least ? pages : least;
}

uint64_t share_of(const struct share_member *members, unsigned n, unsigned self, uint64_t total,
		  uint64_t least, uint64_t elapsed_ns)
{
	const struct share_member *member = &members[self];
	struct sum sum = sum_up(members, n, self, total);
	uint64_t left = above(total, sum.used), excess = above(sum.used, total);

	if (left < total / FEW_LEFT && is_needed_elsewhere(member, sum.most_missing)) {
		uint64_t part = elapsed_ns < HALF_NS ? elapsed_ns : HALF_NS;

		return at_least(member->used - member->used * part / (2 * HALF_NS), least);
	}
	if (excess) {
		double part = (double)above(member->used, total / n) / (double)sum.above;

		return at_least(member->used - (uint64_t)((double)excess * part), least);
	}
	return at_least(member->used + left / sum.growing, least);
}

uint64_t share_missing(uint64_t missing, uint64_t faults, uint64_t elapsed_ns)
{
	return (missing * SECOND + faults * SECOND) / (elapsed_ns + SECOND);
}
