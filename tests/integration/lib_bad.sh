# shellcheck shell=bash
#
# For tests of what is wrong, bad_*.sh. Sources lib.sh.

. "$ROOT/tests/integration/lib.sh"

# A program that needs some three times the budget for two seconds and checks every byte.
BAD_LOCAL=16M
BAD_PROGRAM=("$PROGS/prog_pattern" 48 2 2)
BAD_RESULT='^[0-9]+ checks, .* all right$'

# in_plain_words FILE: nothing that only who has read the code would understand.
in_plain_words() {
	! grep -E '\.[ch]:|assert|NULL|errno|-E[A-Z]+|Success$|\(null\)' "$1" >&2 ||
		fail "a message is about the code"
}

# one_line PATTERN FILE: it is the only one.
one_line() {
	in_plain_words "$2"
	have "$1" "$2" "no line with: $1"
	[ "$(wc -l <"$2")" -eq 1 ] || fail "more than one line: $(cat "$2")"
}

# carries_on PATTERN TRANSPORT: the program runs with the donor that DONOR_PORT and
# DONOR_SOCK name, unpaged, with the right result, and exactly one line, which matches.
carries_on() {
	local status=0

	under $BAD_LOCAL "$2" "${BAD_PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status -eq 0 ] || fail "status $status: $(cat "$TMP/err" "$TMP/engine.log")"
	have "$BAD_RESULT" "$TMP/out" "the program did not do its work"
	one_line "$1" "$TMP/engine.log"
	[ "${SEEN[written]}" -eq 0 ] || fail "it was paged: the test is wrong"
	[ "${SEEN[elapsed_ms]}" -lt 12000 ] || fail "it took ${SEEN[elapsed_ms]} ms"
}

# does_not_start PATTERN TRANSPORT: the same with --require.
does_not_start() {
	local status=0
	local PAGER_OPTIONS=(--require)

	under $BAD_LOCAL "$2" "${BAD_PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status -eq 125 ] || fail "status $status, not 125"
	[ ! -s "$TMP/out" ] || fail "the program has started: $(cat "$TMP/out")"
	in_plain_words "$TMP/engine.log"
	have "$1" "$TMP/engine.log" "no line with: $1"
	have 'not starting the program' "$TMP/engine.log" "it is not said that it does not start"
	[ "${SEEN[elapsed_ms]}" -lt 12000 ] || fail "it took ${SEEN[elapsed_ms]} ms"
}
