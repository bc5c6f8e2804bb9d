#!/bin/bash
# Many threads that fault on memory that is out see the right bytes and the right signals: on the same
# pages and on others, on stacks that were taken out, while they are cancelled, and while what they
# read is unmapped or protected. With UFFDIO_MOVE and without.
# limit: 240
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 20 36 144)
LOCAL=$(sized 8 9 36)M
PARTS=(threads readers)

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
for transport in $TRANSPORTS; do
	for part in "${PARTS[@]}"; do
		! has_move || went "$transport" auto "$part"
		went "$transport" off "$part"
	done
done
stop_donor
