#!/bin/bash
# xz -9, whose search tree is ten times as large as its input, and back.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

need xz awk

# A text with long repetitions far apart: the whole dictionary is in use.
awk -v lines=$((12000 * (1 + LONG))) 'BEGIN {
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
xz -dc "$TMP/paged.out" | cmp - "$TMP/input" >&2 || fail "what was compressed is something else"

# Back: the dictionary is as large as with -9, and full only after 64 MiB. Quickly compressed.
for ((turn = 0; turn < 10; turn++)); do
	sed "s/input/input $turn/" "$TMP/input"
done >"$TMP/longer"
xz -T1 --lzma2=preset=0,dict=64MiB -c "$TMP/longer" >"$TMP/longer.xz" || fail "xz: status $?"
real_program xz -dc "$TMP/longer.xz"
same_output "$TMP/longer" "$TMP/paged.out"
