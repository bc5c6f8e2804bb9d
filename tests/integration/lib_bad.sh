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

# fake WAY: sets DONOR_PORT. It ends with the test.
fake() {
	"$PROGS/prog_fake_donor" "$1" "$DONOR_HOST" >"$TMP/fake.port" &
	wait_for 5 test -s "$TMP/fake.port" || fail "no fake donor"
	DONOR_PORT=$(cat "$TMP/fake.port")
	rm "$TMP/fake.port"
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

# does_not_start PATTERN TRANSPORT: the same with --require, which verbs implies.
does_not_start() {
	local status=0
	local PAGER_OPTIONS=(--require)

	[ "$2" != verbs ] || PAGER_OPTIONS=()
	under $BAD_LOCAL "$2" "${BAD_PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status -eq 125 ] || fail "status $status, not 125"
	[ ! -s "$TMP/out" ] || fail "the program has started: $(cat "$TMP/out")"
	in_plain_words "$TMP/engine.log"
	have "$1" "$TMP/engine.log" "no line with: $1"
	have 'not starting the program' "$TMP/engine.log" "it is not said that it does not start"
	[ "${SEEN[elapsed_ms]}" -lt 12000 ] || fail "it took ${SEEN[elapsed_ms]} ms"
}

# ---- programs that meet what is wrong while pages are out ----

AT_ONCE_MS=2000
BUS=$((128 + 7))

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

# start_program TRANSPORT COMMAND...: with the donor started last, or with DONORS; sets PROGRAM_PID,
# and returns once much of it is out.
DONORS=
start_program() {
	local transport=$1

	shift
	: >"$TMP/engine.log"
	env LD_PRELOAD="$LIBRARY" LIBPAGER_LOCAL=16M LIBPAGER_TRANSPORT="$transport" \
		LIBPAGER_DONORS="${DONORS:-$(donor_of "$transport")}" \
		LIBPAGER_LOG_FILE="$TMP/engine.log" "$@" >"$TMP/out" 2>"$TMP/err" &
	PROGRAM_PID=$!
	wait_for 20 much_is_out || fail "nothing was taken out: $(cat "$TMP/engine.log" "$TMP/err")"
}

much_is_out() {
	"$PAGERCTL" stat "$PROGRAM_PID" --json 2>/dev/null |
		grep -Eq '"remote_bytes": ?[1-9][0-9]{7}'
}

# ends_by_bus DONOR: the program that was started ends at once, with one line that names the donor.
ends_by_bus() {
	local begun status=0

	begun=$(now_ms)
	wait "$PROGRAM_PID" 2>/dev/null || status=$?
	note "ended after $(($(now_ms) - begun)) ms: $(cat "$TMP/engine.log")"
	[ $status -eq $BUS ] || fail "status $status, not $BUS: $(cat "$TMP/err")"
	[ $(($(now_ms) - begun)) -le $AT_ONCE_MS ] || fail "that is more than $AT_ONCE_MS ms"
	! grep -q ' is .* not ' "$TMP/err" || fail "a wrong byte: $(cat "$TMP/err")"
	one_line "donor $1 gone, [1-9][0-9]* pages lost, ending this program" "$TMP/engine.log"
	[ ! -e "/dev/shm/libpager-$(id -u)/$PROGRAM_PID" ] || fail "its statistics are left behind"
}
