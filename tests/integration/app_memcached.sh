#!/bin/bash
# A memcached server with 300 MB of values: all set, some replaced, every one read back and compared.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need memcached

real_program "$PROGS/prog_kv" memcached "$TMP/server.sock" $((37500 * (1 + 3 * LONG))) 8000 \
	memcached -m $((512 * (1 + 3 * LONG))) -t 2 -s "$TMP/server.sock" -u "$(id -un)"
