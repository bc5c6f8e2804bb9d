#!/bin/bash
# With --local auto a program that needs four times the memory limit of its control group runs to its
# end, and is not killed for memory: also when the limit is lowered while it runs, and when another one
# in the group takes a part of it. A percentage is one of that limit.
# limit: 180
# shellcheck disable=SC2153 # ROOT is the runner's
. "$ROOT/tests/integration/lib.sh"
. "$ROOT/scripts/swap-lib.sh"

MIB=$(sized 384 512 2048) # of the program
LIMIT=$((MIB << 18))      # a quarter, in bytes

why=$(swap_can limit) || skip "$why"
GROUP=$(_limit_root)/libpager-$$-limit
trap '_limit_end "$GROUP/inner"; _limit_end "$GROUP"' EXIT
mkdir -p "$GROUP/inner" || skip "no control group to be made"

# Within the group, in one that has no limit of its own.
# shellcheck disable=SC2016 # for the inner shell
AS_USER=(sh -c 'echo $$ >"$0/inner/cgroup.procs" && exec "$@"' "$GROUP")

limit() {
	_limit_set "$GROUP" "$1" || fail "no limit can be set"
}

ends_well() {
	[ "$1" -eq 0 ] || fail "status $1: $(cat "$TMP/engine.log")"
	have "$2" "$TMP/out" "not its result: $(cat "$TMP/out")"
	really_paged
	note "$(_seen_line 0 "$transport")"
}

start_donor $((MIB * 3))M
for transport in $TRANSPORTS; do
	note "$transport: grows to four times the limit"
	limit "$LIMIT"
	status=0
	under auto "$transport" "$PROGS/prog_pattern" "$MIB" 2 4 7 >"$TMP/out" || status=$?
	ends_well $status ' all right$'
	# It may use most of what there is.
	[ $((SEEN[peak_anon_kib] * 2)) -gt $((LIMIT >> 10)) ] || fail "it used less than half of it"

	note "$transport: the limit is lowered by a quarter, as soon as it pages"
	(
		wait_for 20 grep -q 'connected over' "$TMP/engine.log"
		sleep 1
		limit $((LIMIT * 3 / 4)) && touch "$TMP/lowered"
	) &
	status=0
	under auto "$transport" "$PROGS/prog_pattern" "$MIB" 2 6 7 >"$TMP/out" || status=$?
	wait $!
	[ -e "$TMP/lowered" ] || fail "the limit was not lowered meanwhile"
	rm "$TMP/lowered"
	ends_well $status ' all right$'
done

note "another one in the group takes a quarter"
transport=${TRANSPORTS%% *}
limit "$LIMIT"
"${AS_USER[@]}" "$PROGS/prog_pattern" $((MIB / 16)) 1 12 >"$TMP/other.out" &
other=$!
status=0
under auto "$transport" "$PROGS/prog_pattern" "$MIB" 2 4 7 >"$TMP/out" || status=$?
ends_well $status ' all right$'
wait $other || fail "the other one was ended: status $?"
have ' all right$' "$TMP/other.out" "the other one is wrong"

# What is tried is the size that follows from it: nothing is to be killed here, however slow the host.
note "a percentage"
limit $((LIMIT * 4))
status=0
under 6% "$transport" "$PROGS/prog_pattern" $((MIB / 2)) 2 2 7 >"$TMP/out" || status=$?
ends_well $status ' all right$'
within_bound $((LIMIT * 4 * 6 / 100 >> 10))
