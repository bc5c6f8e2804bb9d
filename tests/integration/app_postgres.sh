#!/bin/bash
# PostgreSQL: its processes sort, hash and gather in memory of their own, which is paged; what they share
# is left alone. The answers are the same.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

need_root # it refuses to be root itself, and not everybody may use userfaultfd
need psql setpriv
BIN=$(command -v postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' | tail -n 1)
[ -n "$BIN" ] || skip "postgres is not installed"
BIN=$(dirname "$(realpath "$BIN")")

ROWS=$(sized 40000 150000 1500000)
LOCAL=$(sized 8 8 64)M
SESSIONS=2
USER_ID=65534
export PGHOST=$TMP PGUSER=tester PGDATABASE=postgres PAGERCTL TMP

AS_SERVER=(setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --inh-caps +sys_ptrace
	--ambient-caps +sys_ptrace)

cat >"$TMP/work.sql" <<SQL
\\set QUIET 1
set work_mem = '512MB';
set jit = off;
create temp table t as select i, md5(i::text) m from generate_series(1, $ROWS) i;
select count(*), sum(hashtext(m)) from (select m from t order by m offset 0) s;
select count(*), sum(c) from (select m, count(*) c from t group by m) g;
select md5(array_to_string(array_agg(m order by i desc), ',')) from t;
select count(*) from t a join t b on a.m = md5(b.i::text);
select pg_backend_pid() as backend \\gset
\\setenv BACKEND :backend
\\! [ -z "\$PAGED" ] || "\$PAGERCTL" stat --json "\$BACKEND" >"\$TMP/stat.\$BACKEND"
SQL

SERVER=("$BIN/postgres" -D "$TMP/data" -k "$TMP" -c "listen_addresses=" -c shared_buffers=16MB
	-c fsync=off -c max_parallel_workers_per_gather=0)

answers() {
	"$BIN/pg_isready" -q
}

# ask OUT: the same of several sessions at a time.
ask() {
	local asked=() pid i

	wait_for 60 answers || fail "the server does not get ready: $(tail -n 5 "$TMP/server.log")"
	for i in $(seq $SESSIONS); do
		psql -XAt -v ON_ERROR_STOP=1 -f "$TMP/work.sql" >"$1.$i" 2>&1 &
		asked+=($!)
	done
	for pid in "${asked[@]}"; do
		wait "$pid" || fail "psql: $(cat "$1".*); $(tail -n 5 "$TMP/server.log")"
	done
	kill -TERM "$server"
	wait "$server" || fail "the server ended with status $?: $(tail -n 5 "$TMP/server.log")"
}

# Of the process that answered: it had memory on the donor, and got it back.
check_backend() {
	grep -q '"active": true' "$1" || fail "$1: not paged: $(cat "$1")"
	grep -Eq '"written": [1-9]' "$1" || fail "$1: nothing was taken out"
	grep -Eq '"major": [1-9]' "$1" || fail "$1: nothing was fetched"
	grep -q '"corrupt": 0' "$1" || fail "$1: wrong bytes"
}

mkdir "$TMP/data"
chown "$USER_ID" "$TMP/data" "$TMP"
"${AS_SERVER[@]}" "$BIN/initdb" -D "$TMP/data" -U $PGUSER -A trust --no-sync >"$TMP/initdb.log" 2>&1 ||
	fail "initdb: $(tail -n 5 "$TMP/initdb.log")"
"${AS_SERVER[@]}" "${SERVER[@]}" >"$TMP/server.log" 2>&1 &
server=$!
ask "$TMP/plain"
cmp "$TMP/plain.1" "$TMP/plain.2" || fail "two sessions differ without libpager"

start_donor 1G
chmod 666 "$DONOR_SOCK"
ulimit -l unlimited 2>/dev/null # over verbs an ordinary user needs more than the usual 8 MiB
export PAGED=1
for transport in $TRANSPORTS; do
	rm -f "$TMP"/stat.*
	: >"$TMP/engine.log"
	chmod 666 "$TMP/engine.log"
	"${AS_SERVER[@]}" "$PAGERCTL" run --local "$LOCAL" --transport "$transport" --donor "$(donor_of "$transport")" \
		--log info --log-file "$TMP/engine.log" --lib "$LIBRARY" -- "${SERVER[@]}" >"$TMP/server.log" 2>&1 &
	server=$!
	ask "$TMP/paged"
	for i in $(seq $SESSIONS); do
		same_output "$TMP/plain.$i" "$TMP/paged.$i"
	done
	[ "$(find "$TMP" -name 'stat.*' | wc -l)" -eq $SESSIONS ] || fail "not $SESSIONS backends were seen"
	for stat in "$TMP"/stat.*; do
		check_backend "$stat"
	done
done
stop_donor
