#!/bin/bash
# A pattern in memory, checked and rewritten from four threads while its mappings are protected,
# dropped, moved, grown, unmapped and handed to the kernel: a minute over shm with a quarter of it
# here, shorter otherwise.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 48 160 640)
FIRST=$(sized 10 40 60) # seconds
OTHERS=$(sized 6 10 60)

# pattern SHARE TRANSPORT SECONDS: each run with a seed of its own, which is said.
pattern() {
	local seed=$RANDOM

	note "seed $seed"
	paged $((MIB * 1024 / $1)) "$2" "$PROGS/prog_pattern" "$MIB" 4 "$3" $seed
}

"$PROGS/prog_pattern" 16 4 1 || fail "the plain run is wrong: the program is"
start_donor $((MIB * 4))M
seconds=$FIRST
for transport in $TRANSPORTS; do
	for share in $SHARES; do
		pattern "$share" "$transport" "$seconds"
		seconds=$OTHERS
	done
done
stop_donor
