#!/bin/bash
# What a process lives in changes while its memory is out: few descriptors, little address space, another
# root, other namespaces, no right to its own /proc, few system calls. It goes on as without libpager, and
# so do its children, paged or not.
# limit: 240
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 20 36 144)
LOCAL=$(sized 8 9 36)M
WAYS=(nofile address-space chroot mounts pids undumpable seccomp)

start_donor $((MIB * 16))M
for way in "${WAYS[@]}"; do
	"$PROGS/prog_around" 0 "$way" >"$TMP/plain.out" || fail "$way: the plain run is wrong"
	for transport in $TRANSPORTS; do
		under "$LOCAL" "$transport" "$PROGS/prog_around" "$MIB" "$way" >"$TMP/paged.out" ||
			fail "$way over $transport: status $?; engine: $(tail -n 5 "$TMP/engine.log")"
		same_output "$TMP/plain.out" "$TMP/paged.out"
		really_paged
	done
	cat "$TMP/plain.out"
done
note "too little address space from the start"
status=0
(ulimit -v 2000000 && under "$LOCAL" "${TRANSPORTS%% *}" "$PROGS/prog_pattern" "$MIB" 2 1 7) >"$TMP/out" || status=$?
[ $status -eq 0 ] || fail "status $status; engine: $(cat "$TMP/engine.log")"
have ' all right$' "$TMP/out" "not its result: $(cat "$TMP/out")"
have 'running without paging: .* libpager needs 9 GiB .*ulimit -v unlimited' "$TMP/engine.log" \
	"it was not said why, or what to do: $(cat "$TMP/engine.log")"
stop_donor
