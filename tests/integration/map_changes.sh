#!/bin/bash
# Whatever a program does to its map while most of its memory is out, it sees what it would see
# without libpager: each way by itself, every byte looked at, with UFFDIO_MOVE and without.
# limit: 240
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 20 36 144)
LOCAL=$(sized 8 9 36)M
PARTS=(map map_advice map_access map_kinds map_silent map_ahead)

# went TRANSPORT MOVE PART
went() {
	LIBPAGER_MOVE=$2 under "$LOCAL" "$1" "$PROGS/prog_$3" "$MIB" >"$TMP/paged.out" ||
		fail "$3 over $1, move $2: status $?; engine: $(tail -n 5 "$TMP/engine.log")"
	note "$3 over $1, move $2: ${SEEN[elapsed_ms]} ms"
	same_output "$TMP/$3.out" "$TMP/paged.out"
	really_paged
}

for part in "${PARTS[@]}"; do
	plain "$PROGS/prog_$part" 0 >"$TMP/$part.out" || fail "$part: the plain run is wrong"
	cat "$TMP/$part.out"
done
start_donor $((MIB * 8))M
export DONOR_PID
for transport in $TRANSPORTS; do
	for part in "${PARTS[@]}"; do
		! has_move || went "$transport" auto "$part"
		went "$transport" off "$part"
	done
done
stop_donor
