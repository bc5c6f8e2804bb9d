#!/bin/bash
# Over verbs from one host to another: auto chooses it, says so, and no byte is wrong.
# limit: 90
. "$ROOT/soft-roce/tests/lib_two.sh"

FETCHED=1000

start_pattern
goes_on
ends_all_right
says_no_more
