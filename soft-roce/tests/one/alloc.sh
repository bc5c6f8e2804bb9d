#!/bin/bash
# Resident memory stays within its bound over verbs, too, while a program fills memory as fast as it can.
# limit: 60
. "$ROOT/soft-roce/tests/lib.sh"

need_engine
start_donor 256M --rdma required
paged $((12 << 10)) verbs "$PROGS/prog_alloc" malloc 36 1
stop_donor
