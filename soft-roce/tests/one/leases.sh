#!/bin/bash
# What donord lends over RDMA can be written and read back, begins as zeros, is of no use to another
# client, and of none to its own when the lease has ended without it. The keys of memory are given to
# the device as they are here: it is the donor's that refuses.
# limit: 60
. "$ROOT/soft-roce/tests/lib.sh"

OUT=$TMP/client

# client STATUS COMMAND...
client() {
	local wanted=$1 status=0

	shift
	"$PROGS/prog_donor_client" "$DONOR_HOST:$DONOR_PORT" "$@" >"$OUT" || status=$?
	[ $status -eq "$wanted" ] || fail "client $*: status $status: $(cat "$OUT")"
}

start_donor 64M --slab-size 4M --rdma required
client 0 hello verbs lease 2 zeros write check return 2 lease 2 zeros bye
have '^checked 8 MiB$' "$OUT" "not read back"
client 0 hello verbs lease 1 write thief
have '^refused: Permission denied$' "$OUT" "another client was not refused"
stop_donor

start_donor 64M --slab-size 4M --rdma required --lease 2s --renew 500ms
client 1 hello verbs lease 1 write check expect check
have '^REVOKED 1$' "$OUT" "the lease did not end"
have '^failed check: Permission denied$' "$OUT" "not refused"
have ' 1 leases expired: ' "$DONOR_LOG" "donord does not say so"
stop_donor
