#!/bin/bash
# Memory that is locked, or that the kernel writes to by itself, stays where it is: locked pages are
# resident at any moment, and reads into registered and direct buffers that were begun long ago
# arrive in them, while the program needs four times the budget. Without UFFDIO_MOVE the kernel does
# not tell what is pinned: then everything stays for as long as anything is, and that is said.
# limit: 120
. "$ROOT/tests/integration/lib.sh"

LOCKED_MIB=4 # within the usual limit of 8 MiB
PROGRAM=("$PROGS/prog_pinned" "$(sized 36 64 64)" "$LOCKED_MIB" 2)

# right COMMAND...: under libpager.
right() {
	under 16M "$transport" "$@" >"$TMP/out" || fail "status $?: $(cat "$TMP/engine.log")"
	cat "$TMP/out"
	have '^right: ' "$TMP/out" "no result"
}

some_refused() {
	really_paged
	[ "${SEEN[refused]}" -gt 0 ] || fail "nothing pinned was ever to be taken: the test is wrong"
}

without_move() {
	note "$transport, without UFFDIO_MOVE"
	right "${PROGRAM[@]}"
	some_refused
	right "${PROGRAM[@]}" "$TMP/file"
	! grep -q 'registered buffers' "$TMP/out" ||
		have 'the program has pinned memory' "$TMP/engine.log" "it was not said that all stays"
}

# With CAP_IPC_LOCK, or a limit that the engine's address space is within.
all_locked() {
	right "$PROGS/prog_pinned" "$(sized 36 64 64)" all 2
	really_paged
}

start_donor 512M
for transport in $TRANSPORTS; do
	if has_move; then
		note "$transport"
		right "${PROGRAM[@]}" "$TMP/file"
		some_refused
	fi
	LIBPAGER_MOVE=off without_move
	note "$transport, all of it locked at first"
	if has_move; then
		all_locked
	fi
	LIBPAGER_MOVE=off all_locked
done
