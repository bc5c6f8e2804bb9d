#!/bin/bash
# A donor returns other bytes than it was given. Once: they are read again, and the program's result
# is right. Always, or because its memory is not what it was: the program is ended by one line and
# SIGBUS, before it has seen one of them.
# limit: 120
. "$ROOT/tests/integration/lib_bad.sh"

PROGRAM=("$PROGS/prog_pattern" 64 2 2)

# has_seen_none STATUS: that is the program's.
has_seen_none() {
	[ "$1" -eq $BUS ] || fail "status $1: $(cat "$TMP/err" "$TMP/engine.log")"
	[ ! -s "$TMP/out" ] || fail "the program saw its end: $(cat "$TMP/out")"
	! grep -q '^prog_pattern: ' "$TMP/err" || fail "a wrong byte was seen: $(cat "$TMP/err")"
	have 'ending this program .*: a donor returned wrong bytes twice for the page at 0x[0-9a-f]+' \
		"$TMP/engine.log" "no line says why"
}

returns_them_once() {
	fake wrong_once
	under $BAD_LOCAL tcp "${PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" ||
		fail "status $?: $(cat "$TMP/err" "$TMP/engine.log")"
	have "$BAD_RESULT" "$TMP/out" "the program did not do its work"
	[ "${SEEN[corrupt]}" -ge 1 ] || fail "no wrong byte was noticed: the test is wrong"
	! grep -q 'wrong bytes' "$TMP/engine.log" || fail "too much said: $(cat "$TMP/engine.log")"
}

returns_them_always() {
	local status=0

	fake "$1"
	under $BAD_LOCAL tcp "${PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" || status=$?
	has_seen_none $status
	[ "${SEEN[elapsed_ms]}" -lt 12000 ] || fail "it took ${SEEN[elapsed_ms]} ms"
}

# overwrite_all: whatever is kept for the program. It may end during that, and then a slab is gone.
overwrite_all() {
	local slab

	for slab in "/proc/$DONOR_PID/fd/"*; do
		[[ $(readlink "$slab") == *donord-slab* ]] || continue
		yes 'something else' | dd of="$slab" bs=1M count=8 iflag=fullblock conv=notrunc
	done 2>"$TMP/dd"
}

has_other_memory() {
	local status=0

	start_donor 128M --slab-size 8M
	start_program "$1" "$PROGS/prog_pattern" 36 2 60
	overwrite_all
	wait "$PROGRAM_PID" 2>/dev/null || status=$?
	cat "$TMP/dd"
	has_seen_none $status
	stop_donor
}

for transport in $TRANSPORTS; do
	note "other memory, $transport"
	has_other_memory "$transport"
done

# What follows lends over tcp.
[ "$transport" = tcp ] || exit 0
note "once"
returns_them_once
for way in wrong_byte wrong_zeros wrong_page; do
	note "$way"
	returns_them_always $way
done
