#!/bin/bash
# sort with all in one buffer, by one thread and by two.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need sort awk

awk -v lines="$(sized 5000 60000 240000)" -v length_of="$(sized 7000 1400 1400)" 'BEGIN {
	seed = 1
	rest = sprintf("%" length_of "s", "in no order at all")
	for (i = 0; i < lines; i++) {
		seed = (seed * 16807) % 2147483647
		printf "%010d line %d of the input, %s\n", seed, i, rest
	}
}' >"$TMP/input"

for threads in 1 2; do
	real_program sort -S 400M --parallel=$threads -T "$TMP" "$TMP/input"
	sort -c "$TMP/paged.out" || fail "the output is not sorted"
done
