#!/bin/bash
# The donor process of another host is killed: the program ends at once, with one line that names the
# donor and how many pages are lost, and never with a wrong byte.
# limit: 90
. "$ROOT/soft-roce/tests/lib_two.sh"

need_engine
start_donor_in_b 256M
start_program auto "${PATTERN[@]}" $RANDOM
kill_donor_in_b
ends_by_bus b
