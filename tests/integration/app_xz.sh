#!/bin/bash
# xz -9, whose search tree is ten times as large as its input, and back.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need xz awk

# Its tree is gone through at random: at a quarter that is half a million faults, and in small sizes each may
# take a millisecond.
[ "$SIZE" != small ] || SHARES=2

# A text with long repetitions far apart: the whole dictionary is in use.
awk -v lines="$(sized 8500 9000 24000)" 'BEGIN {
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

# Back: one text and then half of it again, so what repeats lies farther behind than half of the
# memory reaches.
LINES=$(sized 420000 460000 560000)
awk -v lines="$LINES" 'BEGIN {
	for (i = 0; i < lines; i++)
		printf "%d a line of the longer input, with number %d\n", i, (i * 48271) % 2147483647
}' >"$TMP/base"
{
	cat "$TMP/base"
	head -n $((LINES / 2)) "$TMP/base" | sed 's/7$/7 again/'
} >"$TMP/longer"
xz -T1 --lzma2=preset=0,dict=64MiB -c "$TMP/longer" >"$TMP/longer.xz" || fail "xz: status $?"
real_program xz -dc "$TMP/longer.xz"
same_output "$TMP/longer" "$TMP/paged.out"
