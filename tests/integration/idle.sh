#!/bin/bash
# What is not needed costs nothing: a small program opens no connection, and one whose data fits its
# budget has nothing taken out.
# limit: 120
. "$ROOT/tests/integration/lib.sh"

PYTHON=/usr/bin/python3
[ -x $PYTHON ] || skip "$PYTHON is not installed"
PROGRAM="x = [str(i) for i in range($(sized 250000 1000000 1000000))]; print(sum(map(len, x)))"
transport=${TRANSPORTS##* }

sessions() {
	count_lines 'session [0-9]+ opened' "$DONOR_LOG"
}

plain $PYTHON -c "$PROGRAM" >"$TMP/plain.out" || fail "the plain run has status $?"
peak=${SEEN[peak_anon_kib]}
start_donor 512M

# Well below the budget: no engine, no session; the same for a tree of small processes.
under $((peak * 3))K "$transport" $PYTHON -c "$PROGRAM" >"$TMP/idle.out" || fail "status $?: $(cat "$TMP/engine.log")"
same_output "$TMP/plain.out" "$TMP/idle.out"
[ "${SEEN[active]}" -eq 0 ] || fail "an engine became active"
under 64M "$transport" sh -c 'for i in 1 2 3; do /bin/true; done; echo a | cat | wc -c' >/dev/null ||
	fail "status $?"
[ "${SEEN[active]}" -eq 0 ] || fail "an engine became active in a small program"
[ "$(sessions)" -eq 0 ] || fail "a session was opened for nothing"

# Near the budget, but within: ready, and idle.
under $((peak * 5 / 4))K "$transport" $PYTHON -c "$PROGRAM" >"$TMP/near.out" || fail "status $?: $(cat "$TMP/engine.log")"
same_output "$TMP/plain.out" "$TMP/near.out"
[ "${SEEN[taken]}" -eq 0 ] || fail "${SEEN[taken]} pages were taken out of data that fits"
stop_donor
