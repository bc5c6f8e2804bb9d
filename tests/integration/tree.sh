#!/bin/bash
# Processes under one `pagerctl run` share one budget, by need: of two with more memory than it each,
# the one that works has most of it, and when they change memory follows. Together they stay within
# it. Whoever is killed leaves its part to the others, and nothing of the sharing is left at the end.
# limit: 240
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 48 96 512)
LOCAL_KIB=$((MIB << 9)) # half of what each has, so a quarter
SECONDS_EACH=$(sized 20 8 30)

left_behind() {
	find "/dev/shm/libpager-$(id -u)" -name 'tree-*' -newer "$TMP/began" 2>/dev/null
}

# of_turn N NAME: KiB
of_turn() {
	sed -n "s/^turn $1: .*$2 \([0-9]*\).*/\1/p" "$TMP/out"
}

# check_turn N: who works has three times as much as who does not, and both are within the budget.
check_turn() {
	local working idle

	working=$(of_turn "$1" working)
	idle=$(of_turn "$1" idle)
	note "turn $1: working $((working >> 10)) MiB, idle $((idle >> 10)) MiB"
	[ "$working" -gt $((idle * 2)) ] || fail "the one that works has no more than the other"
	[ "$working" -gt $((LOCAL_KIB / 2)) ] || fail "the one that works has less than half of the budget"
	[ $((working + idle)) -le "$(rss_bound_kib "$LOCAL_KIB")" ] || fail "together they exceed the budget"
}

touch "$TMP/began"
start_donor $((MIB * 6))M
for transport in $TRANSPORTS; do
	status=0
	under "${LOCAL_KIB}K" "$transport" "$PROGS/prog_tree" "$MIB" "$SECONDS_EACH" >"$TMP/out" || status=$?
	[ $status -eq 0 ] || fail "status $status; engine: $(tail -n 5 "$TMP/engine.log")"
	really_paged
	check_turn 0
	check_turn 1
	[ -z "$(left_behind)" ] || fail "left behind: $(left_behind)"
done
stop_donor
