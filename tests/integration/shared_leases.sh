#!/bin/bash
# Two sessions that share leases, as parent and child do after a fork, read the same bytes, and whichever
# goes first, the other one keeps them. It is told when it is the only one.
# limit: 60
. "$ROOT/tests/integration/lib.sh"

OUT=$TMP/out

# client COMMAND...: what it says is in $OUT.
client() {
	"$PROGS/prog_donor_client" "$DONOR_HOST:$DONOR_PORT" "$@" >"$OUT" ||
		fail "client $*: $(tail -n 1 "$OUT")"
}

# says LINE [TIMES]
says() {
	[ "$(grep -Fcx -- "$1" "$OUT")" -eq "${2:-1}" ] || fail "expected '$1' in: $(cat "$OUT")"
}

start_donor 16M --slab-size 4M
for kind in $TRANSPORTS; do
	note "$kind: the child outlives its parent"
	client hello "$kind" lease 3 write fork "$kind" check swap bye swap expect check sleep 300 renew bye
	says "shared 3 of 3"
	says "SOLE 3, shared 0 times"
	says "checked 12 MiB" 2
	says "renewed free=1"

	note "$kind: the parent outlives its child"
	client hello "$kind" lease 3 write fork "$kind" check return 2 swap expect check \
		swap return 1 swap expect write check bye
	says "SOLE 2, shared 1 times"
	says "SOLE 1, shared 1 times"
	says "checked 12 MiB" 3

	note "$kind: a grandchild reads what nobody before it has any more"
	client hello "$kind" lease 2 write fork "$kind" check swap bye swap fork "$kind" swap bye swap \
		expect check bye
	says "checked 8 MiB" 2
done

# The session goes on.
note "what is not the parent's cannot be shared"
client hello lease 2 return 2 fork lease 1 bye
says "shared 0 of 0"
have '^granted 1 ' "$OUT" "no lease after it"
client hello lease 1 fork swap bye sleep 100 fork lease 1 bye
says "shared 0 of 1"
stop_donor
