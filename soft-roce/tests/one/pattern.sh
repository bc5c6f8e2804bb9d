#!/bin/bash
# A pattern in memory, checked and rewritten while its mappings are protected, dropped, moved, grown
# and unmapped, over verbs.
# limit: 60
. "$ROOT/soft-roce/tests/lib.sh"

need_engine
start_donor 128M --rdma required
paged $((12 << 10)) verbs "$PROGS/prog_pattern" 48 2 6 $RANDOM
stop_donor
