#!/bin/bash
# A program that stays small pays at most 1 ms at its start.
# limit: 60
. "$ROOT/tests/integration/lib.sh"

TIMES=400
LIMIT_US=1000

export LIBPAGER_LOCAL=64M LIBPAGER_LOG=info LIBPAGER_LOG_FILE=$TMP/engine.log
start_donor 64M
export LIBPAGER_DONORS=127.0.0.1:$DONOR_PORT
read -r without with cost <<<"$("$PROGS/prog_spawn" $TIMES "$LIBRARY" /bin/true)"
note "/bin/true takes $without us without and $with us with libpager: $cost us"
[ "$cost" -le $LIMIT_US ] || fail "$cost us are more than $LIMIT_US"
stop_donor
