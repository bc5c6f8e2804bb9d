#!/bin/bash
# A donor that holds pages is killed, or stops: the program ends at once with one line that names the
# donor and how many pages are lost, by SIGBUS, and never with a wrong byte.
# limit: 180
. "$ROOT/tests/integration/lib_bad.sh"

AT_ONCE_MS=2000
BUS=$((128 + 7))
# shellcheck disable=SC2016 # perl's, not ours
SLEEPER='my @x = map { sprintf("%040d", $_) } 1 .. 1000000; sleep 60'
DONORS=
need perl

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

# start_program TRANSPORT COMMAND...: sets PROGRAM_PID, and returns once much of it is out.
start_program() {
	local transport=$1

	shift
	: >"$TMP/engine.log"
	env LD_PRELOAD="$LIBRARY" LIBPAGER_LOCAL=16M LIBPAGER_TRANSPORT="$transport" \
		LIBPAGER_DONORS="${DONORS:-$(donor_of "$transport")}" \
		LIBPAGER_LOG_FILE="$TMP/engine.log" "$@" >"$TMP/out" 2>"$TMP/err" &
	PROGRAM_PID=$!
	wait_for 20 much_is_out || fail "nothing was taken out: $(cat "$TMP/engine.log" "$TMP/err")"
}

much_is_out() {
	"$PAGERCTL" stat "$PROGRAM_PID" --json 2>/dev/null |
		grep -Eq '"remote_bytes": ?[1-9][0-9]{7}'
}

# ends_by_bus WITHIN_MS DONOR
ends_by_bus() {
	local begun status=0

	begun=$(now_ms)
	wait "$PROGRAM_PID" 2>/dev/null || status=$?
	note "ended after $(($(now_ms) - begun)) ms: $(cat "$TMP/engine.log")"
	[ $status -eq $BUS ] || fail "status $status, not $BUS: $(cat "$TMP/err")"
	[ $(($(now_ms) - begun)) -le "$1" ] || fail "that is more than $1 ms"
	! grep -q ' is .* not ' "$TMP/err" || fail "a wrong byte: $(cat "$TMP/err")"
	one_line "donor $2 gone, [1-9][0-9]* pages lost, ending this program" "$TMP/engine.log"
	[ ! -e "/dev/shm/libpager-$(id -u)/$PROGRAM_PID" ] || fail "its statistics are left behind"
}

for transport in shm tcp; do
	for moment in 0 0.3 0.9; do
		note "killed, $transport, $moment s later"
		start_donor 256M
		start_program $transport "$PROGS/prog_pattern" 96 2 60
		sleep $moment
		kill -KILL "$DONOR_PID"
		ends_by_bus $AT_ONCE_MS "$(donor_of $transport)"
	done

	note "ends in order, $transport"
	start_donor 256M
	start_program $transport "$PROGS/prog_pattern" 96 2 60
	kill -TERM "$DONOR_PID"
	ends_by_bus $AT_ONCE_MS "$(donor_of $transport)"

	note "killed under a program that sleeps, $transport"
	start_donor 256M
	start_program $transport perl -e "$SLEEPER"
	kill -KILL "$DONOR_PID"
	ends_by_bus $AT_ONCE_MS "$(donor_of $transport)"
done

note "one of two"
start_donor 128M
victim=$DONOR_PID
first=127.0.0.1:$DONOR_PORT
start_donor 128M
DONORS="$first 127.0.0.1:$DONOR_PORT"
start_program tcp "$PROGS/prog_pattern" 96 2 60
kill -KILL "$victim"
ends_by_bus $AT_ONCE_MS "$first"
stop_donor
