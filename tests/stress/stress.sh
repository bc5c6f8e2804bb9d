#!/bin/bash
# Everything that programs do with memory, at random, in several processes and threads, never a wrong
# byte (stress.h): a minute; with --long (make stress) an hour, or STRESS_SECONDS. STRESS_SEED does the same again.
# limit: 700
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 24 64 256)
LOCAL=$(sized 8 8 32)M
EACH=$(sized 10 15 $((${STRESS_SECONDS:-3600} / 4)))
SEED=${STRESS_SEED:-$RANDOM}

run_stress() {
	note "$1, move $2: prog_stress $MIB $EACH $SEED"
	LIBPAGER_MOVE=$2 under "$LOCAL" "$1" "$PROGS/prog_stress" "$MIB" "$EACH" "$SEED" >"$TMP/out"
}

# Without UFFDIO_MOVE one thing can only be seen afterwards, and ends the program: docs/uffd.md.
met_the_limit() {
	[ "$1" = off ] && grep -q 'a mapping was replaced while its pages were taken out' "$TMP/engine.log"
}

# stressed TRANSPORT MOVE: seeds that are even fork often, odd ones seldom.
stressed() {
	local status=0

	run_stress "$@" || status=$?
	if [ $status -ne 0 ] && met_the_limit "$2"; then
		note "ended rather than wrong: $(tail -n 1 "$TMP/engine.log")"
		SEED=$((SEED + 2))
		status=0
		run_stress "$@" || status=$?
	fi
	[ $status -eq 0 ] || fail "status $status; engine: $(tail -n 5 "$TMP/engine.log")"
	cat "$TMP/out"
	really_paged
	# Without UFFDIO_MOVE what mprotect(2) has split may stay split: docs/uffd.md.
	[ "$2" = off ] || [ "$(count_lines ' 0 refused$' "$TMP/out")" -eq 2 ] || fail "mremap was refused"
	SEED=$((SEED + 1))
}

"$PROGS/prog_stress" "$MIB" 1 "$SEED" >"$TMP/out" || fail "the plain run is wrong: the program is"
[ "$(count_lines ' 0 refused$' "$TMP/out")" -eq 2 ] || fail "the plain run: mremap was refused"
start_donor $((MIB * 16))M
for transport in $TRANSPORTS; do
	! has_move || stressed "$transport" auto
	stressed "$transport" off
done
stop_donor
