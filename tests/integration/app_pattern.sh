#!/bin/bash
# A pattern in memory, checked and rewritten from four threads while its mappings are protected,
# dropped, moved, grown, unmapped and handed to the kernel: a minute over shm with a quarter of it
# here, shorter otherwise.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

MIB=$((160 * (1 + 3 * LONG)))
MINUTE=60
SHORT=$((10 * (1 + 5 * LONG)))

# pattern SHARE TRANSPORT SECONDS: each run with a seed of its own, which is said.
pattern() {
	local seed=$RANDOM

	note "seed $seed"
	paged $((MIB * 1024 / $1)) "$2" "$PROGS/prog_pattern" $MIB 4 "$3" $seed
}

"$PROGS/prog_pattern" 16 4 1 || fail "the plain run is wrong: the program is"
start_donor $((MIB * 4))M
pattern 4 shm $MINUTE
pattern 2 shm $SHORT
pattern 4 tcp $SHORT
pattern 2 tcp $SHORT
stop_donor
