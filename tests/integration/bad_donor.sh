#!/bin/bash
# No donor within reach, or one that answers nonsense: the program runs unpaged with one clear line
# and the right result; with --require it does not start.
# limit: 240
. "$ROOT/tests/integration/lib_bad.sh"

# A port that was free a moment ago, and a socket that nobody listens at.
start_donor 64M
stop_donor

note "nobody there"
carries_on "donor 127.0.0.1:$DONOR_PORT cannot be used: .*refused" tcp
carries_on "donor 127.0.0.1:$DONOR_PORT cannot be used: .*refused" auto
does_not_start "donor 127.0.0.1:$DONOR_PORT cannot be used: .*refused" tcp
carries_on "donor unix:$DONOR_SOCK cannot be used: .*no such file" shm
does_not_start "donor unix:$DONOR_SOCK cannot be used: " shm

note "RDMA where there is none"
start_donor 64M
does_not_start "donor 127.0.0.1:$DONOR_PORT cannot be used: it offers no RDMA at this address" verbs
stop_donor

# A way to be wrong, and what is said of it.
while read -r way pattern; do
	note "$way"
	fake "$way"
	carries_on "donor 127.0.0.1:$DONOR_PORT .*$pattern" tcp
	does_not_start "donor 127.0.0.1:$DONOR_PORT cannot be used: .*$pattern" tcp
done <<'WAYS'
other_version	versions 7 to 9
unknown_version	version
busy	too many clients
http	.
garbage	.
oversized	.
truncated	.
silent	no answer
closing	.
odd_slabs	.
WAYS

# These welcome: only later is there nothing to be had of them, or nothing that can be used.
for way in stingy generous; do
	note "$way"
	fake $way
	under $BAD_LOCAL tcp "${BAD_PROGRAM[@]}" >"$TMP/out" 2>"$TMP/err" || fail "status $?"
	have "$BAD_RESULT" "$TMP/out" "the program did not do its work"
	in_plain_words "$TMP/engine.log"
	[ "${SEEN[written]}" -eq 0 ] || fail "it was paged: the test is wrong"
	[ "$(wc -l <"$TMP/engine.log")" -le 4 ] || fail "many words: $(cat "$TMP/engine.log")"
done
