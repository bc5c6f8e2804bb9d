#!/bin/bash
# A donor returns other bytes than it was given. Once: they are read again, and the program's result
# is right. Always: the program is ended by one line and SIGBUS, before it has seen one of them.
# limit: 120
. "$ROOT/tests/integration/lib_bad.sh"

PROGRAM=("$PROGS/prog_pattern" 64 2 2)

fake wrong_once
under $BAD_LOCAL tcp "${PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" ||
	fail "status $?: $(cat "$TMP/err" "$TMP/engine.log")"
have "$BAD_RESULT" "$TMP/out" "the program did not do its work"
[ "${SEEN[corrupt]}" -ge 1 ] || fail "no wrong byte was noticed: the test is wrong"
! grep -q 'wrong bytes' "$TMP/engine.log" || fail "too much said: $(cat "$TMP/engine.log")"

for way in wrong_byte wrong_zeros wrong_page; do
	note "$way"
	fake $way
	status=0
	under $BAD_LOCAL tcp "${PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status -eq $BUS ] || fail "status $status: $(cat "$TMP/err" "$TMP/engine.log")"
	[ ! -s "$TMP/out" ] || fail "the program saw its end: $(cat "$TMP/out")"
	! grep -q '^prog_pattern: ' "$TMP/err" || fail "a wrong byte was seen: $(cat "$TMP/err")"
	have 'ending this program .*: a donor returned wrong bytes twice for the page at 0x[0-9a-f]+' \
		"$TMP/engine.log" "no line says why"
	[ "${SEEN[elapsed_ms]}" -lt 12000 ] || fail "it took ${SEEN[elapsed_ms]} ms"
done
