#!/bin/bash
# What an ordinary user may do decides whether programs are paged, step by step: where its group may
# open /dev/userfaultfd all is right, forks and the map's changes included; with a userfaultfd for
# accesses of the program alone, or with none at all, it runs unpaged, and one line says how to climb.
# pagerctl doctor says the same. vm.unprivileged_userfaultfd, which is the whole host's: soft-roce/tests/one.
# limit: 240
. "$ROOT/tests/integration/lib_bad.sh"

GROUP=65533 # of nobody here
MIB=$(sized 24 48 128)
SECONDS_EACH=$(sized 5 8 60)
CLIMB='let this user open /dev/userfaultfd, or set sysctl vm.unprivileged_userfaultfd=1, or run as root'

need_root
need setpriv unshare
[ -e /dev/userfaultfd ] || skip "no /dev/userfaultfd here: it needs Linux 6.1"
[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] ||
	skip "vm.unprivileged_userfaultfd is not 0 here: everybody may use userfaultfd"
ORDINARY=(setpriv --reuid=65534 --regid=65534 --clear-groups)
"${ORDINARY[@]}" test -r "$LIBRARY" || skip "an ordinary user cannot read $LIBRARY"

# says STATUS PATTERN: what doctor tells that user.
says() {
	local status=0

	LIBPAGER_SO=$LIBRARY "${AS_USER[@]}" "$PAGERCTL" doctor >"$TMP/doctor" 2>&1 || status=$?
	have "$2" "$TMP/doctor" "doctor says something else: $(cat "$TMP/doctor")"
	[ $status -eq "$1" ] || fail "doctor's status is $status, not $1: $(cat "$TMP/doctor")"
}

# Nobody else sees this device, and what $TMP lies on need not permit any.
# shellcheck disable=SC2016 # for the inner shell
in_the_group() {
	mkdir "$TMP/devices"
	AS_USER=(unshare --mount sh -ec 'mount -t tmpfs -o mode=755 none "$0"
		mknod -m 660 "$0/userfaultfd" c 10 "$1" && chgrp "$2" "$0/userfaultfd"
		mount --bind "$0/userfaultfd" /dev/userfaultfd
		shift 2
		exec "$@"' "$TMP/devices" "$(($(stat -c '0x%T' /dev/userfaultfd)))" "$GROUP"
		setpriv --reuid=65534 --regid=65534 --groups="$GROUP")
}

start_donor $((MIB * 16))M
chmod 711 "$TMP"
chmod 666 "$DONOR_SOCK"

note "a group that may open /dev/userfaultfd"
in_the_group
"${AS_USER[@]}" sh -c ': <>/dev/userfaultfd' || skip "this user cannot give others a device"
says 0 '^ok +userfaultfd +permitted through /dev/userfaultfd'
for transport in $TRANSPORTS; do
	under 16M "$transport" "$PROGS/prog_pattern" "$MIB" 2 2 7 >"$TMP/out" || fail "status $?"
	have ' all right$' "$TMP/out" "not its result: $(cat "$TMP/out")"
	really_paged
	for way in fork posix_spawn threads; do
		under 8M "$transport" "$PROGS/prog_fork" "$MIB" $way >"$TMP/out" ||
			fail "$way: status $?; engine: $(tail -n 3 "$TMP/engine.log")"
		have "^$way right$" "$TMP/out" "$way: $(cat "$TMP/out")"
		really_paged
	done
	seed=$((RANDOM * 32768 + RANDOM))
	note "$transport, at random from seed $seed"
	under 8M "$transport" "$PROGS/prog_stress" "$MIB" "$SECONDS_EACH" $seed >"$TMP/out" ||
		fail "status $?; engine: $(tail -n 3 "$TMP/engine.log")"
	have ' right, ' "$TMP/out" "no result: $(cat "$TMP/out")"
	really_paged
done

note "a userfaultfd for accesses of the program alone"
AS_USER=("${ORDINARY[@]}")
says 1 "^bad +userfaultfd +permitted for accesses of the program only, not of its system calls; fix: $CLIMB"
for transport in shm tcp; do
	carries_on "running without paging: userfaultfd is not permitted; $CLIMB" "$transport"
done

note "none at all"
AS_USER=("$PROGS/prog_confined" "${ORDINARY[@]}")
says 1 "^bad +userfaultfd +not permitted: Operation not permitted; fix: $CLIMB"
for transport in shm tcp; do
	carries_on "running without paging: userfaultfd is not permitted; $CLIMB" "$transport"
done
stop_donor
