#!/bin/bash
# A memcached server with 300 MB of values: all set, some replaced, every one read back and compared.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need memcached

real_program "$PROGS/prog_kv" memcached "$TMP/server.sock" "$(sized 4500 24000 150000)" 8000 \
	memcached -m "$(sized 64 384 2048)" -t 2 -s "$TMP/server.sock" -u "$(id -un)"
