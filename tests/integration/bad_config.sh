#!/bin/bash
# Sizes, addresses, files and words that are malformed: one line that names the variable and what was
# expected; the program runs unpaged, or not at all if it requires memory.
# limit: 120
. "$ROOT/tests/integration/lib_bad.sh"

SAYS_HELLO=(/bin/echo hello)

# run_with VARIABLE=VALUE...: sets STATUS; what is said is in $TMP/err.
run_with() {
	STATUS=0
	env LD_PRELOAD="$LIBRARY" "$@" "${SAYS_HELLO[@]}" >"$TMP/out" 2>"$TMP/err" || STATUS=$?
}

# wrong PATTERN VARIABLE=VALUE...
wrong() {
	local pattern=$1

	shift
	run_with "$@"
	[ $STATUS -eq 0 ] || fail "status $STATUS with $*"
	[ "$(cat "$TMP/out")" = hello ] || fail "the program did not run with $*"
	one_line "^libpager: .*$pattern.*; running without paging$" "$TMP/err"
	run_with LIBPAGER_REQUIRE=1 "$@"
	[ $STATUS -eq 125 ] || fail "status $STATUS with $* and LIBPAGER_REQUIRE"
	[ ! -s "$TMP/out" ] || fail "the program ran with $* and LIBPAGER_REQUIRE"
	one_line "^libpager: .*$pattern" "$TMP/err"
}

DONOR=LIBPAGER_DONORS=127.0.0.1:1
LOCAL=LIBPAGER_LOCAL=64M

wrong 'no donor configured' $LOCAL
wrong 'no local budget' $DONOR

for size in x 12X M '' -1 -1G 0x10M 1e9 '64 M' 64MM 99999999999999999999 18446744073709551615G; do
	wrong 'LIBPAGER_LOCAL=' "LIBPAGER_LOCAL=$size" $DONOR
done
wrong 'LIBPAGER_LOCAL=4K: too small.*8M' LIBPAGER_LOCAL=4K $DONOR
wrong 'LIBPAGER_LOCAL=0' LIBPAGER_LOCAL=0 $DONOR

long=$(printf '%0300d' 0)
for donor in : host: :7471 host:0 host:65536 host:-1 host:7471x '[::1' '::1]:7471' \
	unix: "unix:/$long" "$long:7471" ',,,'; do
	wrong 'LIBPAGER_DONORS' "LIBPAGER_DONORS=$donor" $LOCAL
done

wrong 'LIBPAGER_DONORS.*/nowhere/donors.*No such file' LIBPAGER_DONORS=/nowhere/donors $LOCAL
wrong 'LIBPAGER_DONORS.*a directory' "LIBPAGER_DONORS=$TMP" $LOCAL
: >"$TMP/empty"
wrong 'LIBPAGER_DONORS.*names no donor' "LIBPAGER_DONORS=$TMP/empty" $LOCAL
printf '# only words\n\n  # and blanks\n' >"$TMP/comments"
wrong 'LIBPAGER_DONORS.*names no donor' "LIBPAGER_DONORS=$TMP/comments" $LOCAL
printf '# first\n127.0.0.1:7471\nhost:99999 # too far\n' >"$TMP/third"
wrong 'LIBPAGER_DONORS.*line 3.*host:99999' "LIBPAGER_DONORS=$TMP/third" $LOCAL
printf '127.0.0.1:7471 127.0.0.1:7472\n' >"$TMP/two"
wrong 'LIBPAGER_DONORS.*line 1.*one donor a line' "LIBPAGER_DONORS=$TMP/two" $LOCAL
head -c 100000 /dev/zero >"$TMP/zeros"
wrong 'LIBPAGER_DONORS.*line 1' "LIBPAGER_DONORS=$TMP/zeros" $LOCAL
printf '%s\n' "$long$long$long$long" >"$TMP/long"
wrong 'LIBPAGER_DONORS.*line 1.*longer' "LIBPAGER_DONORS=$TMP/long" $LOCAL

wrong 'LIBPAGER_TRANSPORT=pigeon.*auto, shm, verbs or tcp' LIBPAGER_TRANSPORT=pigeon $LOCAL $DONOR
wrong 'LIBPAGER_LOG=loud.*debug, info, warn, error or off' LIBPAGER_LOG=loud $LOCAL $DONOR

# A wrong LIBPAGER_REQUIRE cannot say whether it requires.
run_with LIBPAGER_REQUIRE=perhaps $LOCAL $DONOR
[ $STATUS -eq 0 ] || fail "status $STATUS with LIBPAGER_REQUIRE=perhaps"
one_line 'LIBPAGER_REQUIRE=perhaps: write 0 or 1' "$TMP/err"

# Nothing asked for is nothing wrong; asked to be silent it is.
run_with A=B
[ ! -s "$TMP/err" ] || fail "words without a reason: $(cat "$TMP/err")"
run_with LIBPAGER_LOG=off $LOCAL
[ ! -s "$TMP/err" ] || fail "words in spite of LIBPAGER_LOG=off: $(cat "$TMP/err")"

# A file that is right: comments, blanks, several donors.
printf '# donors\n\n127.0.0.1:1   # one\n\tunix:/nowhere/donord.sock\n[::1]:7471\nhost.example\n' >"$TMP/right"
run_with "LIBPAGER_DONORS=$TMP/right" $LOCAL
[ ! -s "$TMP/err" ] || fail "a file that is right is refused: $(cat "$TMP/err")"
