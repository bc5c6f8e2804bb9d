#!/bin/bash
# Every donor is full: the program keeps its memory, over budget, says so once, and is right.
# limit: 180
. "$ROOT/tests/integration/lib_bad.sh"

MIB=$(sized 48 192 192)
LOCAL_MIB=$(sized 12 32 32)

# full TRANSPORT DONORS…: as variables, for there may be several.
full() {
	local transport=$1 status=0

	shift
	: >"$TMP/engine.log"
	_watched env LD_PRELOAD="$LIBRARY" LIBPAGER_LOCAL="${LOCAL_MIB}M" LIBPAGER_TRANSPORT="$transport" \
		LIBPAGER_DONORS="$*" LIBPAGER_LOG_FILE="$TMP/engine.log" \
		"$PROGS/prog_pattern" "$MIB" 2 8 >"$TMP/out" || status=$?
	[ $status -eq 0 ] || fail "status $status: $(cat "$TMP/engine.log")"
	have "$BAD_RESULT" "$TMP/out" "the program did not do its work"
	one_line 'every donor is full: .* over its budget of '"$LOCAL_MIB MiB" "$TMP/engine.log"
	note "resident $((SEEN[peak_anon_kib] >> 10)) MiB, written ${SEEN[written]}"
	[ "${SEEN[over_budget]}" -eq 1 ] || fail "pagerctl stat would not say that it is over budget"
	[ "${SEEN[written]}" -gt 0 ] || fail "nothing was taken to the donors before they were full"
	[ "${SEEN[corrupt]}" -eq 0 ] || fail "${SEEN[corrupt]} pages had a wrong hash"
}

start_donor "$(sized 16 64 64)M"
for transport in $TRANSPORTS; do
	note "one donor, $transport"
	full "$transport" "$(donor_of "$transport")"
done
first=$(donor_of "$transport")
start_donor "$(sized 8 32 32)M"
note "two donors"
full "$transport" "$first" "$(donor_of "$transport")"
