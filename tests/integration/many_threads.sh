#!/bin/bash
# Many threads that fault on memory that is out see the right bytes and the right signals: on the same
# pages and on others, on stacks that were taken out, while they are cancelled, and while what they
# read is unmapped or protected. With UFFDIO_MOVE and without.
# limit: 240
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 20 36 144)
LOCAL=$(sized 8 9 36)M

# went TRANSPORT MOVE
went() {
	LIBPAGER_MOVE=$2 under "$LOCAL" "$1" "$PROGS/prog_threads" "$MIB" >"$TMP/paged.out" ||
		fail "over $1, move $2: status $?; engine: $(tail -n 5 "$TMP/engine.log")"
	note "over $1, move $2: ${SEEN[elapsed_ms]} ms"
	same_output "$TMP/plain.out" "$TMP/paged.out"
	really_paged
}

plain "$PROGS/prog_threads" 0 >"$TMP/plain.out" || fail "the plain run is wrong"
cat "$TMP/plain.out"
start_donor $((MIB * 8))M
for transport in $TRANSPORTS; do
	! has_move || went "$transport" auto
	went "$transport" off
done
stop_donor
