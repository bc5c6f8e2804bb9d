#!/bin/bash
# xz -9, whose dictionary and search tree are far larger than its caches, and back.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

need xz awk

# A text with long repetitions far apart: the whole dictionary is in use.
awk -v lines=$((30000 * (1 + LONG))) 'BEGIN {
	seed = 1
	for (i = 0; i < lines; i++) {
		seed = (seed * 16807) % 2147483647
		line[i] = sprintf("%d a line of the input, with number %d %x", i, seed, seed)
		print line[i]
	}
	for (turn = 1; turn < 6; turn++)
		for (i = 0; i < lines; i++)
			print line[i], i % 1000 ? "" : turn
}' >"$TMP/input"

real_program xz -9 -T1 -c "$TMP/input"
mv "$TMP/paged.out" "$TMP/input.xz"
real_program xz -dc "$TMP/input.xz"
same_output "$TMP/input" "$TMP/paged.out"
