#!/bin/bash
# A program that closes all descriptors there are, or puts its own in their place, goes on over verbs:
# the device's descriptors are none of its.
# limit: 120
. "$ROOT/soft-roce/tests/lib.sh"

need_engine
start_donor 256M --rdma required
for way in close dup2; do
	mkdir "$TMP/$way"
	under 8M verbs "$PROGS/prog_descriptors" $way 24 1 "$TMP/$way" ||
		fail "$way: status $?: $(tail -n 3 "$TMP/$way/result"); engine: $(cat "$TMP/engine.log")"
	have '^right$' "$TMP/$way/result" "$way: no result"
	really_paged
	# While the libraries are loaded the program has used up its budget.
	! grep -q 'cannot be used' "$TMP/engine.log" || fail "$(cat "$TMP/engine.log")"
done
stop_donor
