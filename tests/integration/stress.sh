#!/bin/bash
# Everything that programs do with memory, at random, in several processes and threads, never a
# wrong byte (stress.h): a minute; with --long (make stress) an hour, or STRESS_SECONDS. STRESS_SEED
# does the same again.
# limit: 700
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 24 64 256)
LOCAL=$(sized 8 8 32)M
EACH=$(sized 10 15 $((${STRESS_SECONDS:-3600} / 4)))
SEED=${STRESS_SEED:-$RANDOM} # even ones fork often, odd ones seldom

# run_stress TRANSPORT MOVE
run_stress() {
	note "$1, move $2: prog_stress $MIB $EACH $SEED"
	LIBPAGER_MOVE=$2 under "$LOCAL" "$1" "$PROGS/prog_stress" "$MIB" "$EACH" "$SEED" >"$TMP/out"
}

# Without UFFDIO_MOVE one thing can only be seen afterwards, and ends the program: docs/uffd.md.
ended_rather_than_wrong() {
	[ "$1" = off ] || return 1
	grep -o 'a mapping was replaced while its pages were taken out.*' "$TMP/engine.log" >"$TMP/limit" ||
		return 1
	note "ended rather than wrong: $(cat "$TMP/limit")"
}

# check_counts MOVE TRANSPORT: from what has been printed, by two processes.
check_counts() {
	# What mprotect(2) has split may stay split without UFFDIO_MOVE: docs/uffd.md.
	[ "$1" = off ] || [ "$(count_lines ' 0 refused$' "$TMP/out")" -eq 2 ] || fail "mremap was refused"
	# Where no other transport is allowed, a donor that is slow to answer keeps programs from starting.
	[ "$2" = verbs ] || [ "$(count_lines ' 0 programs not started' "$TMP/out")" -eq 2 ] ||
		fail "programs were not started"
}

stressed() {
	local status=0

	run_stress "$@" || status=$?
	if [ $status -ne 0 ] && ended_rather_than_wrong "$2"; then
		SEED=$((SEED + 2))
		status=0
		run_stress "$@" || status=$?
	fi
	[ $status -eq 0 ] || fail "status $status; engine: $(tail -n 5 "$TMP/engine.log")"
	cat "$TMP/out"
	really_paged
	check_counts "$2" "$1"
	SEED=$((SEED + 1))
}

"$PROGS/prog_stress" "$MIB" 1 "$SEED" >"$TMP/out" || fail "the plain run is wrong: the program is"
check_counts auto plain
start_donor $((MIB * 16))M
for transport in $TRANSPORTS; do
	! has_move || stressed "$transport" auto
	stressed "$transport" off
done
stop_donor
