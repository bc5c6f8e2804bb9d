#!/bin/bash
# Where userfaultfd is not permitted the program runs unpaged, with one line that says what to do.
# limit: 60
. "$ROOT/tests/integration/lib_bad.sh"

need_root
need setpriv
[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] ||
	skip "vm.unprivileged_userfaultfd is not 0 here: everybody may use userfaultfd"

AS_USER=(setpriv --reuid=65534 --regid=65534 --clear-groups)

# An ordinary user must be able to read what root has built, and to write what it is asked to.
"${AS_USER[@]}" test -r "$LIBRARY" || skip "an ordinary user cannot read $LIBRARY"
start_donor 256M
chmod 666 "$DONOR_SOCK"
for transport in shm tcp; do
	carries_on 'running without paging: .*(vm.unprivileged_userfaultfd|CAP_SYS_PTRACE|/dev/userfaultfd)' \
		$transport
done
stop_donor
