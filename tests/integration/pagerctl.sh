#!/bin/bash
# pagerctl run becomes its program in every respect, or says in one line why it does not.
. "$ROOT/tests/integration/lib.sh"

need cc

# A budget that nothing here reaches, and a donor that nobody asks.
RUN=("$PAGERCTL" run --local 1G --donor 127.0.0.1:1)

# status_of COMMAND...: sets STATUS; its output goes to $TMP/out, its complaints to $TMP/err.
status_of() {
	STATUS=0
	"$@" >"$TMP/out" 2>"$TMP/err" || STATUS=$?
}

# is_refused STATUS PATTERN COMMAND...: ends with the status, having said one line that matches.
is_refused() {
	local status=$1 pattern=$2

	shift 2
	status_of "$@"
	[ "$STATUS" -eq "$status" ] || fail "status $STATUS, not $status: $*"
	[ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "not one line: $*: $(cat "$TMP/err")"
	have "^pagerctl: .*$pattern" "$TMP/err" "no word of $pattern: $*"
	[ ! -s "$TMP/out" ] || fail "something on standard output: $*"
}

# ---- the program is itself ----

for status in 0 3 77 255; do
	status_of "${RUN[@]}" -- sh -c "exit $status"
	[ "$STATUS" -eq $status ] || fail "status $STATUS instead of $status"
done

for signal in TERM KILL USR1; do
	status_of "${RUN[@]}" sh -c "kill -$signal \$\$"
	[ "$STATUS" -eq $((128 + $(kill -l $signal))) ] || fail "status $STATUS after SIG$signal"
done

head -c 3000000 /dev/urandom >"$TMP/bytes"
"${RUN[@]}" cat <"$TMP/bytes" >"$TMP/copy" 2>"$TMP/err" || fail "cat failed"
same_output "$TMP/bytes" "$TMP/copy"
[ ! -s "$TMP/err" ] || fail "something on standard error: $(cat "$TMP/err")"

# Its process is the one that was started, so signals from outside reach it.
"${RUN[@]}" sleep 60 &
sleeper=$!
wait_for 10 grep -q '^sleep$' "/proc/$sleeper/comm" || fail "pid $sleeper did not become sleep"
grep -q "$LIBRARY" "/proc/$sleeper/maps" || fail "libpager.so is not in it"
kill -INT "$sleeper"
kill -TERM "$sleeper"
STATUS=0
wait "$sleeper" || STATUS=$?
[ $STATUS -eq 143 ] || fail "status $STATUS after SIGTERM from outside"

cd "$TMP" || fail "no $TMP"
# shellcheck disable=SC2016 # the program is to expand it
status_of "${RUN[@]}" sh -c 'pwd; echo "$0" "$@"' --local '' 'a  b'
printf '%s\n--local  a  b\n' "$TMP" >"$TMP/expected"
same_output "$TMP/expected" "$TMP/out"

# ---- what it is told ----

cat >"$TMP/donors" <<-'DONORS'
	# the rack by the window
	10.0.0.7:7471   # the large one

	unix:/run/donord.sock
	[fd00::1]
DONORS
status_of "$PAGERCTL" run --local 512M --donors donors --donor last:9 --transport tcp --log error \
	--log-file "$TMP/engine.log" -- sh -c 'env | grep ^LIBPAGER_ | sort'
cat >"$TMP/expected" <<-EXPECTED
	LIBPAGER_DONORS=10.0.0.7:7471,unix:/run/donord.sock,[fd00::1],last:9
	LIBPAGER_LOCAL=536870912
	LIBPAGER_LOG=error
	LIBPAGER_LOG_FILE=$TMP/engine.log
	LIBPAGER_TRANSPORT=tcp
	LIBPAGER_TREE=/dev/shm/libpager-$(id -u)/tree-N
EXPECTED
sed -i 's,/tree-[0-9a-f-]*$,/tree-N,' "$TMP/out"
same_output "$TMP/expected" "$TMP/out"

# With auto processes share by themselves; a tree that pagerctl was started in is not theirs.
# shellcheck disable=SC2016 # the program is to expand it
LIBPAGER_TREE=/dev/shm/other status_of "${RUN[@]}" --local auto sh -c 'echo "${LIBPAGER_TREE-none}"'
echo none >"$TMP/expected"
same_output "$TMP/expected" "$TMP/out"

cc -shared -o "$TMP/other.so" -x c /dev/null || fail "cannot build a library"
# shellcheck disable=SC2016 # the program is to expand it
LD_PRELOAD=$TMP/other.so status_of "${RUN[@]}" sh -c 'echo "$LD_PRELOAD"'
have "^$LIBRARY:$TMP/other.so$" "$TMP/out" "what was preloaded before is lost"

# ---- nonsense ----

unset LIBPAGER_LOCAL
is_refused 2 'no command' "$PAGERCTL"
is_refused 2 'frobnicate' "$PAGERCTL" frobnicate
is_refused 2 '--local' "$PAGERCTL" run --donor a true
is_refused 2 'donor' "$PAGERCTL" run --local 1G true
is_refused 2 'no program' "${RUN[@]}"
is_refused 2 'no program' "${RUN[@]}" --
is_refused 2 '--local 1X' "$PAGERCTL" run --local 1X --donor a true
is_refused 2 '--local -5M' "$PAGERCTL" run --local -5M --donor a true
is_refused 2 '--local 1M' "$PAGERCTL" run --local 1M --donor a true
is_refused 2 '--local' "$PAGERCTL" run --local '' --donor a true
is_refused 2 'a:b' "$PAGERCTL" run --local 1G --donor a:b true
is_refused 2 '99999' "$PAGERCTL" run --local 1G --donor a:99999 true
is_refused 2 '--donor' "$PAGERCTL" run --local 1G --donor '' true
is_refused 2 'nowhere' "$PAGERCTL" run --local 1G --donors nowhere true
printf 'good:1\nbad one\n' >"$TMP/bad"
is_refused 2 'line 2' "$PAGERCTL" run --local 1G --donors bad true
is_refused 2 'pigeon' "${RUN[@]}" --transport pigeon true
is_refused 2 'loud' "${RUN[@]}" --log loud true
is_refused 2 '--log-file' "${RUN[@]}" --log-file '' true
is_refused 2 '--lib' "${RUN[@]}" --lib /nowhere/libpager.so true
is_refused 2 '--frob' "${RUN[@]}" --frob true
is_refused 2 '--transport' "${RUN[@]}" --transport
is_refused 2 '--require=yes' "${RUN[@]}" --require=yes true
LIBPAGER_LOCAL=many is_refused 2 'LIBPAGER_LOCAL=many' "$PAGERCTL" run --donor a true

cp "$PAGERCTL" "$TMP/pagerctl"
is_refused 2 'libpager.so' "$TMP/pagerctl" run --local 1G --donor a true

# ---- programs that cannot be had ----

is_refused 127 'no-such-program' "${RUN[@]}" no-such-program
is_refused 127 './nothing' "${RUN[@]}" ./nothing
echo data >"$TMP/data"
is_refused 126 './data' "${RUN[@]}" ./data
is_refused 126 '/tmp' "${RUN[@]}" /tmp

cat >"$TMP/plain" <<'SCRIPT'
echo "plain $1"
SCRIPT
cat >"$TMP/script" <<'SCRIPT'
#!/bin/sh
echo "script $1"
SCRIPT
printf '#!/nowhere/interpreter\n' >"$TMP/lost"
chmod +x "$TMP/script" "$TMP/plain" "$TMP/lost"
status_of "${RUN[@]}" ./script one
have '^script one$' "$TMP/out" "a script does not run"
status_of "${RUN[@]}" ./plain two
have '^plain two$' "$TMP/out" "a script without a first line does not run"
is_refused 126 '/nowhere/interpreter' "${RUN[@]}" ./lost

echo 'int main(void) { return 0; }' >"$TMP/tiny.c"
cc -static -o "$TMP/static" "$TMP/tiny.c" || fail "cannot build a static program"
is_refused 126 'statically linked' "${RUN[@]}" ./static
printf '#!%s\n' "$TMP/static" >"$TMP/script"
is_refused 126 'statically linked' "${RUN[@]}" ./script

if [ "$(id -u)" -eq 0 ]; then
	cp /bin/true "$TMP/setuid"
	chown 65534 "$TMP/setuid"
	chmod 4755 "$TMP/setuid"
	is_refused 126 'more rights' "${RUN[@]}" ./setuid
fi
