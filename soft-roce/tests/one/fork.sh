#!/bin/bash
# A process that is made while pages are out over verbs has the right bytes, and so has its parent.
# limit: 120
. "$ROOT/soft-roce/tests/lib.sh"

MIB=16

need_engine
start_donor 256M --rdma required
for way in fork posix_spawn threads; do
	under 8M verbs "$PROGS/prog_fork" $MIB $way >"$TMP/out" ||
		fail "$way: status $?; engine: $(tail -n 5 "$TMP/engine.log")"
	have "^$way right$" "$TMP/out" "$way: $(cat "$TMP/out")"
	really_paged
done
stop_donor
