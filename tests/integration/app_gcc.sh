#!/bin/bash
# gcc compiles a large generated file: the driver stays small, the compiler proper is its child.
# limit: 420
. "$ROOT/tests/integration/lib_c.sh"

need gcc awk

generate_c "$(sized 75 300 1200)" >"$TMP/input.c"
RESULT=$TMP/input.o
real_program gcc -O1 -c "$TMP/input.c" -o "$RESULT"
