#!/bin/bash
# The link is down for 2 s: the program goes on afterwards.
# limit: 90
. "$ROOT/soft-roce/tests/lib_two.sh"

start_pattern
host_do link down
sleep 2
host_do link up
goes_on
ends_all_right
