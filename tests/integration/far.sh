#!/bin/bash
# A donor at the end of a long wire: sequential reads are not held up by each window's way there and back, since
# several windows are on their way. Over tcp, through a relay.
# limit: 120
. "$ROOT/tests/integration/lib.sh"

RELAY_HOST=127.0.0.9
ONE_WAY_US=5000
MIB=$(sized 32 64 256)
# One window of 32 pages ahead takes 170 us a page, as many as there may be some 40.
MOST_US=100

is_ready() {
	grep -q '^relay ready' "$TMP/relay"
}

start_donor $((MIB * 4))M
"$PROGS/prog_relay" $ONE_WAY_US $RELAY_HOST "$DONOR_HOST" "$DONOR_PORT" >"$TMP/relay" &
relay=$!
wait_for 10 is_ready || fail "no relay"

DONOR_HOST=$RELAY_HOST
paged $((MIB * 1024 / 4)) tcp "$PROGS/prog_sequence" "$MIB" >"$TMP/out"
note "$(tr '\n' ' ' <"$TMP/out")ns a page"
for way in up down; do
	took=$(sed -n "s/^$way //p" "$TMP/out")
	[ "$took" -le $((MOST_US * 1000)) ] || fail "$way: $took ns a page, more than $MOST_US us"
done
kill $relay
stop_donor
