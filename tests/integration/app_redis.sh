#!/bin/bash
# A redis server with 300 MB of values: all set, some replaced, every one read back and compared.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need redis-server

real_program "$PROGS/prog_kv" redis "$TMP/server.sock" "$(sized 4500 37500 150000)" 8000 \
	redis-server --save '' --appendonly no --port 0 --unixsocket "$TMP/server.sock" \
	--dir "$TMP" --logfile "$TMP/server.log"
