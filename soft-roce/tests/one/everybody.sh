#!/bin/bash
# Where vm.unprivileged_userfaultfd lets everybody have a userfaultfd, an ordinary user's programs are
# paged, forks included, and pagerctl doctor says why. A guest is the place for a switch of the whole
# host's; the other steps: tests/integration/ladder.sh.
# limit: 180
. "$ROOT/soft-roce/tests/lib.sh"

MIB=16

need_engine
need setpriv
chmod 711 "$TMP"
sysctl -qw vm.unprivileged_userfaultfd=1
trap 'sysctl -qw vm.unprivileged_userfaultfd=0' EXIT
AS_USER=(setpriv --reuid=65534 --regid=65534 --clear-groups)
start_donor 256M
chmod 666 "$DONOR_SOCK"

LIBPAGER_SO=$LIBRARY "${AS_USER[@]}" "$PAGERCTL" doctor >"$TMP/doctor"
have '^ok +userfaultfd +permitted to everybody, by vm.unprivileged_userfaultfd' "$TMP/doctor" \
	"doctor says something else: $(cat "$TMP/doctor")"
for transport in shm tcp; do
	for way in fork posix_spawn threads; do
		under 8M $transport "$PROGS/prog_fork" $MIB $way >"$TMP/out" ||
			fail "$way: status $?; engine: $(tail -n 5 "$TMP/engine.log")"
		have "^$way right$" "$TMP/out" "$way: $(cat "$TMP/out")"
		really_paged
	done
done
stop_donor
