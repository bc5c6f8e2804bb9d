#!/bin/bash
# No donor within reach, or one that answers nonsense: the program runs unpaged with one clear line
# and the right result; with --require it does not start.
# limit: 240
. "$ROOT/tests/integration/lib_bad.sh"

network=${TRANSPORTS##* } # the one of them that is not of this host only

# cannot_be_used PATTERN TRANSPORT: unpaged, or not at all if it requires memory, as verbs always does.
cannot_be_used() {
	[ "$2" = verbs ] || carries_on "donor $(donor_of "$2") .*$1" "$2"
	does_not_start "donor $(donor_of "$2") cannot be used: .*$1" "$2"
}

# A port that was free a moment ago, and a socket that nobody listens at.
start_donor 64M
stop_donor

for transport in $TRANSPORTS; do
	note "nobody there, $transport"
	cannot_be_used 'refused|no such file' "$transport"
done
carries_on "donor $DONOR_HOST:$DONOR_PORT cannot be used: .*refused" auto

note "RDMA where there is none"
start_donor 64M --rdma off
does_not_start "donor $DONOR_HOST:$DONOR_PORT cannot be used: it offers no RDMA at this address" verbs
stop_donor

# A way to be wrong, and what is said of it.
while read -r way pattern; do
	note "$way"
	fake "$way"
	cannot_be_used "$pattern" "$network"
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

# What follows is lent over tcp.
[ "$network" = tcp ] || exit 0

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
