#!/bin/bash
# What an ordinary user may do decides whether programs are paged, step by step: where its group may
# open /dev/userfaultfd all is right, forks included; with a userfaultfd for accesses
# of the program alone, or with none at all, it runs unpaged, and one line says how to climb. pagerctl
# doctor says the same. vm.unprivileged_userfaultfd, which is the whole host's: soft-roce/tests/one.
# limit: 240
. "$ROOT/tests/integration/lib_bad.sh"

GROUP=65533 # of nobody here
MIB=$(sized 24 48 128)
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

# Nobody else sees this device.
# shellcheck disable=SC2016 # for the inner shell
in_the_group() {
	AS_USER=(unshare --mount sh -c 'mount --bind "$0" /dev/userfaultfd && exec "$@"' "$TMP/device"
		setpriv --reuid=65534 --regid=65534 --groups="$GROUP")
}

start_donor $((MIB * 16))M
chmod 711 "$TMP"
chmod 666 "$DONOR_SOCK"

note "a group that may open /dev/userfaultfd"
mknod -m 660 "$TMP/device" c 10 "$(($(stat -c '0x%T' /dev/userfaultfd)))"
chgrp "$GROUP" "$TMP/device"
in_the_group
if "${AS_USER[@]}" sh -c ': <>/dev/userfaultfd' 2>/dev/null; then
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
	done
else
	note "skipped: devices cannot be opened in $TMP"
fi

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
