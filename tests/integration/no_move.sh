#!/bin/bash
# Without UFFDIO_MOVE, as before Linux 6.8, programs are right, too: while their mappings are changed
# from four threads, while they fork, and a real one. (MOVE=off runs any other test so.)
# limit: 240
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 48 96 384)
SECONDS_EACH=$(sized 6 8 48)
FORKED_MIB=$(sized 12 32 32)
ITEMS=$(sized 150000 250000 250000)
FIRST=${TRANSPORTS%% *}
WAYS=(fork clone threads)

export LIBPAGER_MOVE=off

# pattern SHARE TRANSPORT: with a seed of its own, which is said.
pattern() {
	local seed=$RANDOM

	note "seed $seed"
	paged $((MIB * 1024 / $1)) "$2" "$PROGS/prog_pattern" "$MIB" 4 "$SECONDS_EACH" $seed
}

start_donor $((MIB * 4))M
for transport in $TRANSPORTS; do
	pattern 4 "$transport"
done
pattern 2 "$FIRST"
for way in "${WAYS[@]}"; do
	under 8M "$FIRST" "$PROGS/prog_fork" "$FORKED_MIB" "$way" >"$TMP/out" ||
		fail "$way: status $?; engine: $(tail -n 5 "$TMP/engine.log")"
	have "^$way right$" "$TMP/out" "$way: $(cat "$TMP/out")"
	really_paged
done
stop_donor

cat >"$TMP/work.py" <<PROGRAM
data = {i: "%d" % i * 20 for i in range($ITEMS)}
print(sum(len(data[i * 7919 % $ITEMS]) * (i % 13) for i in range($((ITEMS / 4)))))
PROGRAM
SHARES=4
TRANSPORTS=$FIRST
[ ! -x /usr/bin/python3 ] || real_program /usr/bin/python3 "$TMP/work.py"
