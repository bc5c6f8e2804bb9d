#!/bin/bash
# A program that is stopped for longer than its leases cannot use them any more: when it goes on it
# ends at once, by SIGBUS, with the line that names the donor and how many pages are lost, and never
# with a wrong byte, although the donor is there and has lent the memory to somebody else. Stopped
# for a shorter time it goes on as if nothing had been.
# limit: 120
. "$ROOT/tests/integration/lib_bad.sh"

DONOR=$(sized 64 256 256)M
LEASE=(--lease 2s --renew 500ms)
CLIENT=$PROGS/prog_donor_client

# As much as there is, written to: whoever still used it would read this.
lend_all_to_another() {
	"$CLIENT" "$(donor_of "$1")" hello "$1" lease 8 write sleep 60000 >"$TMP/other.$1" &
	wait_for 30 grep -qs '^wrote' "$TMP/other.$1" || fail "another cannot have it"
}

for transport in $TRANSPORTS; do
	note "longer, $transport"
	start_donor "$DONOR" "${LEASE[@]}"
	start_program "$transport" "$PROGS/prog_pattern" "$(sized 36 96 96)" 2 60
	kill -STOP "$PROGRAM_PID"
	wait_for 8 grep -q ' leases expired: ' "$DONOR_LOG" || fail "the leases do not end"
	lend_all_to_another "$transport"
	kill -CONT "$PROGRAM_PID"
	ends_by_bus "$(donor_of "$transport")"
done

note "shorter"
start_donor "$DONOR"
start_program "$transport" "$PROGS/prog_pattern" "$(sized 36 48 48)" 2 3
kill -STOP "$PROGRAM_PID"
sleep 1
kill -CONT "$PROGRAM_PID"
wait "$PROGRAM_PID" || fail "status $?: $(cat "$TMP/engine.log" "$TMP/err")"
have "$BAD_RESULT" "$TMP/out" "the program did not do its work"
[ ! -s "$TMP/engine.log" ] || fail "there was nothing to say: $(cat "$TMP/engine.log")"
