#!/bin/bash
# Where a program's control group has not the memory for all of its pages fork(2) fails with ENOMEM,
# and one line says so, instead of the kernel killing the program while they come home; it goes on
# with the right data, and forks once it may have more.
# limit: 120
# shellcheck disable=SC2153 # ROOT is the runner's
. "$ROOT/tests/integration/lib_bad.sh"
. "$ROOT/scripts/swap-lib.sh"

MIB=160
LOCAL=12M
LIMIT=$((100 << 20)) # far above what is resident, and below the whole
FORKS=2		     # prog_fork tries each way so often; the first time there may be nothing out yet

why=$(swap_can limit) || skip "$why"
GROUP=$(_limit_root)/libpager-$$-fork
trap '_limit_end "$GROUP/inner"; _limit_end "$GROUP"' EXIT
mkdir -p "$GROUP/inner" || skip "no control group to be made"

# confine BYTES: in a group with no limit of its own, within one that has it.
confine() {
	_limit_set "$GROUP" "$1" || fail "no limit can be set"
	# shellcheck disable=SC2016 # for the inner shell
	AS_USER=(sh -c 'echo $$ >"$0/inner/cgroup.procs" && exec "$@"' "$GROUP")
}

start_donor 512M
for transport in shm tcp; do
	note "$transport"
	confine $LIMIT
	under $LOCAL $transport "$PROGS/prog_fork" $MIB fork vfork posix_spawn \
		>"$TMP/out" 2>"$TMP/err" ||
		fail "status $?: $(cat "$TMP/err" "$TMP/engine.log")"
	printf '%s\n' 'fork refused' 'vfork right' 'posix_spawn right' >"$TMP/wanted"
	same_output "$TMP/wanted" "$TMP/out"
	in_plain_words "$TMP/engine.log"
	lines=$(count_lines 'fork refused: not enough memory left in the control group' \
		"$TMP/engine.log")
	if [ "$lines" -lt 1 ] || [ "$lines" -gt $FORKS ]; then
		fail "$lines lines: $(cat "$TMP/engine.log")"
	fi
	really_paged
done

note "with memory"
confine $((1 << 30))
under $LOCAL shm "$PROGS/prog_fork" $MIB fork >"$TMP/out" || fail "status $?"
have '^fork right$' "$TMP/out" "it was not the limit: $(cat "$TMP/out")"
