#!/bin/bash
# The donor's host stops for 3 s and goes on: so does the program, over the same connection.
# limit: 90
. "$ROOT/soft-roce/tests/lib_two.sh"

start_pattern
host_do stop
sleep 3
host_do cont
goes_on
ends_all_right
says_no_more
