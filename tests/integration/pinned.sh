#!/bin/bash
# Memory that is locked, or that the kernel writes to by itself, stays where it is: locked pages are
# resident at any moment, and reads into registered and direct buffers that were begun long ago
# arrive in them, while the program needs four times the budget.
# limit: 120
. "$ROOT/tests/integration/lib.sh"

LOCKED_MIB=4 # within the usual limit of 8 MiB

start_donor 512M
for transport in shm tcp; do
	note "$transport"
	under 16M $transport "$PROGS/prog_pinned" 64 $LOCKED_MIB 2 "$TMP/file" >"$TMP/out" ||
		fail "status $?: $(cat "$TMP/engine.log")"
	cat "$TMP/out"
	have '^right: ' "$TMP/out" "no result"
	really_paged
	[ "${SEEN[refused]}" -gt 0 ] || fail "nothing pinned was ever to be taken: the test is wrong"
done
