#!/bin/bash
# Over verbs from one host to another: auto chooses it, says so, and no byte is wrong.
# limit: 90
. "$ROOT/soft-roce/tests/lib_two.sh"

start_pattern 36 6
goes_on
ends_all_right
says_no_more
