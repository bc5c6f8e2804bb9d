#!/bin/bash
# Whatever the kernel does with memory of a program while it is out, it reads and writes what it
# would without libpager: in system calls of every kind, on behalf of other processes, in futexes, in
# signal frames. What it cannot do (docs/uffd.md says what) it refuses, and gives no wrong byte.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 24 32 128)
LOCAL=$(sized 8 8 32)M
ROUNDS=$(sized 8 40 400)

WAYS=(read readv pread write writev pwrite paths send sendmsg sendfile splice vmsplice tee results
	directory random poll advice arguments futex mutex idle_thread thread_end signal_stack signal_frame
	thread_stack signal_storm vm_read vm_write vm_self)
# Not everywhere: without io_uring, or on a file system without O_DIRECT.
MAY_LACK=(direct_write ring_read ring_write ring_fixed)
# What the kernel does without waiting for a page that is out.
LIMITS=(futex_op futex_pi robust proc_mem ptrace)

OUT='[1-9][0-9]* pages were out'

check_ways() {
	local way

	for way in "${WAYS[@]}"; do
		have "^$way right, $OUT$" "$TMP/out" "$way"
	done
	for way in "${MAY_LACK[@]}"; do
		have "^$way (right, $OUT|refused, .*: (Invalid argument|Function not implemented|Operation not permitted))$" \
			"$TMP/out" "$way"
	done
	for way in "${LIMITS[@]}"; do
		have "^$way (right, $OUT|refused, $OUT: (Bad address|Connection timed out|Input/output error))$" \
			"$TMP/out" "$way"
	done
}

# all_ways TRANSPORT
all_ways() {
	note "$1, LIBPAGER_MOVE=${LIBPAGER_MOVE:-auto}"
	under "$LOCAL" "$1" "$PROGS/prog_system_calls" "$MIB" "$ROUNDS" "$TMP" "${WAYS[@]}" \
		"${MAY_LACK[@]}" "${LIMITS[@]}" >"$TMP/out" ||
		fail "status $?; engine: $(tail -n 5 "$TMP/engine.log")"
	really_paged
	check_ways
	grep ' refused' "$TMP/out" >&2
}

# with_move TRANSPORT: only then may a read with O_DIRECT take as long as it likes.
with_move() {
	local MAY_LACK=(direct_read "${MAY_LACK[@]}")

	all_ways "$1"
}

without_move() {
	LIBPAGER_MOVE=off all_ways "$1"
}

start_donor $((MIB * 8))M
for transport in $TRANSPORTS; do
	! has_move || with_move "$transport"
	without_move "$transport"
done
stop_donor
