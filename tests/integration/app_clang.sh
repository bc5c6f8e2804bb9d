#!/bin/bash
# clang compiles a large generated file: driver, compiler and assembler are one process, with an allocator
# of arenas that are never given back.
# limit: 420
. "$ROOT/tests/integration/lib_c.sh"

need clang awk

generate_c "$(sized 30 75 600)" >"$TMP/input.c"
RESULT=$TMP/input.o
real_program clang -O1 -c "$TMP/input.c" -o "$RESULT"
