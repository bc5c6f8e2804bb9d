#!/bin/bash
# Resident memory stays within the budget and its bound while a program allocates and fills memory as
# fast as it can: in one thread and two, fresh mappings, small pieces, zeroed ones, the heap's end.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 36 512 2048)
LOCAL_KIB=$((MIB * 1024 / 4))

start_donor $((MIB * 3))M
for transport in $TRANSPORTS; do
	for way in mmap malloc calloc brk; do
		for threads in 1 2; do
			[ "$way-$threads" != brk-2 ] || continue
			note "$way, $threads threads"
			paged $LOCAL_KIB "$transport" "$PROGS/prog_alloc" $way "$MIB" $threads
		done
	done
done
for way in mmap malloc; do
	note "$way, twice the budget"
	paged $((MIB * 1024 / 2)) "${TRANSPORTS%% *}" "$PROGS/prog_alloc" $way "$MIB" 2
done
stop_donor
