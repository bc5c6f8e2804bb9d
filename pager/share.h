/*
 * How processes share one budget, by need and not by count. Each says what it has and how it fares
 * (tree.h); from that each works out what it may have next, and nobody decides for others.
 *
 * room    While something is left, those that grow may have equal parts of what is left, on top of
 *         what they have; who does not grow keeps what it has, and some room.
 * need    Once next to nothing is left, who rarely misses a page gives to who often does: half of
 *         what it has in a second or two, down to the smallest budget. Faults tell the need: of two
 *         programs, memory is worth more to the one that misses it more often (the page-fault
 *         frequency of Chu and Opderbeck, 1972). Where all miss as often, nothing moves.
 * excess  If all together have too much, as they do after a fork, for which everything comes home,
 *         those give it up that have more than an equal part.
 *
 * Pure. In pages, but for the rates.
 */
#ifndef PAGER_SHARE_H
#define PAGER_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct share_member {
	uint64_t used;	  /* resident */
	uint64_t missing; /* pages a second that it had and has to fetch again, of late */
	bool grows;	  /* it uses all that it may have, or more than a moment ago */
};

/*
 * How many pages the member `self` may have from now on, of `total`, when it was last told so
 * `elapsed_ns` ago; never less than `least`.
 */
uint64_t share_of(const struct share_member *members, unsigned n, unsigned self, uint64_t total,
		  uint64_t least, uint64_t elapsed_ns);

/* `missing`, after `faults` more in that time: the mean of about the last second. */
uint64_t share_missing(uint64_t missing, uint64_t faults, uint64_t elapsed_ns);

#endif
