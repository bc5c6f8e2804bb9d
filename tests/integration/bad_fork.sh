#!/bin/bash
# On a host without memory for all of a program's pages fork(2) fails with ENOMEM, and one line says
# so; the program goes on with the right data, is paged as before, and can still start others in the
# ways that need no copy of it.
# limit: 120
. "$ROOT/tests/integration/lib_bad.sh"

need_root
need unshare
MIB=$(sized 12 48 48)
LOCAL=$(sized 8 12 12)M
FORKS=2 # prog_fork tries each way so often; the first time there may be nothing out yet

# What the host has, as this program is told.
printf 'MemTotal: 4000000 kB\nMemFree: 1000 kB\nMemAvailable: 60000 kB\n' >"$TMP/meminfo"
# shellcheck disable=SC2016 # for the inner shell
AS_USER=(unshare --mount sh -c 'mount --bind "$0" /proc/meminfo && exec "$@"' "$TMP/meminfo")
"${AS_USER[@]}" grep -q '^MemAvailable: 60000 kB$' /proc/meminfo ||
	skip "no file can be put in the place of /proc/meminfo here"

start_donor 512M
for transport in $TRANSPORTS; do
	note "$transport"
	under "$LOCAL" "$transport" "$PROGS/prog_fork" "$MIB" fork vfork system popen posix_spawn \
		>"$TMP/out" 2>"$TMP/err" ||
		fail "status $?: $(cat "$TMP/err" "$TMP/engine.log")"
	printf '%s\n' 'fork refused' 'vfork right' 'system right' 'popen right' \
		'posix_spawn right' >"$TMP/wanted"
	same_output "$TMP/wanted" "$TMP/out"
	in_plain_words "$TMP/engine.log"
	lines=$(count_lines 'fork refused: not enough free memory on this host' "$TMP/engine.log")
	if [ "$lines" -lt 1 ] || [ "$lines" -gt $FORKS ]; then
		fail "$lines lines: $(cat "$TMP/engine.log")"
	fi
	really_paged
done

note "nothing is out"
under 64M "$transport" timeout 10 /bin/echo hello >"$TMP/out" || fail "status $?"
[ "$(cat "$TMP/out")" = hello ] || fail "a small program cannot fork"

note "with memory"
AS_USER=()
under "$LOCAL" "$transport" "$PROGS/prog_fork" "$MIB" fork >"$TMP/out" || fail "status $?"
have '^fork right$' "$TMP/out" "it was not the memory: $(cat "$TMP/out")"
