#!/bin/bash
# A program of one thread may do what only such a program may: change to another user namespace, whoever
# it is, as often as it likes. Then it goes on, paged where the kernel permits that to it there. One that is
# paged already is refused, and told why.
# limit: 120
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 20 36 144)
LOCAL=$(sized 8 9 36)M
ORDINARY=65534

may() {
	"${AS_USER[@]}" unshare -U true 2>"$TMP/why"
}

# went LOCAL WAY: with libpager as without.
went() {
	plain "${AS_USER[@]}" "$PROGS/prog_alone" "$MIB" "$2" >"$TMP/plain.out" || fail "$2: the plain run is wrong"
	under "$1" "${TRANSPORTS%% *}" "$PROGS/prog_alone" "$MIB" "$2" >"$TMP/paged.out" ||
		fail "$2: status $?; engine: $(tail -n 5 "$TMP/engine.log")"
	same_output "$TMP/plain.out" "$TMP/paged.out"
	note "within $1, $2: $(head -n 1 "$TMP/paged.out"); $(cat "$TMP/engine.log")"
}

may || skip "$(cat "$TMP/why")"
start_donor $((MIB * 8))M
for way in again set threads; do
	went 1G $way
	went "$LOCAL" $way
done
under "$LOCAL" "${TRANSPORTS%% *}" "$PROGS/prog_alone" "$MIB" late >"$TMP/out" || fail "late: status $?"
have '^late: Invalid argument' "$TMP/out" "not refused: $(cat "$TMP/out")"
have 'this program is paged, by threads of libpager' "$TMP/engine.log" "not said: $(cat "$TMP/engine.log")"
AS_USER=(setpriv --reuid "$ORDINARY" --clear-groups)
if [ "$(id -u)" = 0 ] && may; then
	went 1G again
	went "$LOCAL" set
fi
stop_donor
