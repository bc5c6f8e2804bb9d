#!/bin/bash
# pagerctl stat shows what an engine does, and says in one line why there is nothing to show.
. "$ROOT/tests/integration/lib.sh"

need perl
perl -MJSON::PP -e 1 2>/dev/null || skip "perl has no JSON::PP"

# json PATH <FILE: the value at a path such as memory.remote_bytes, of a JSON text.
json() {
	perl -MJSON::PP -e '
		my $at = decode_json(join "", <STDIN>);
		for (split /\./, shift) {
			$at = ref $at eq "ARRAY" ? $at->[$_] : exists $at->{$_} ? $at->{$_} : die "no $_\n";
		}
		print ref $at eq "ARRAY" ? scalar @$at : $at;' "$1" || fail "not JSON, or no $1"
}

is_refused() {
	local status=0

	"${@:3}" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status -eq "$1" ] || fail "status $status, not $1: ${*:3}"
	[ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "not one line: ${*:3}: $(cat "$TMP/err")"
	have "^pagerctl: stat: .*$2" "$TMP/err" "no word of $2: ${*:3}"
}

# Left to choose, as long as it is to choose shm.
KIND=${TRANSPORTS%% *}
TRANSPORT=${KIND/shm/auto}

# start_program: 50 MB, most of it on the donor soon; sets `program`.
start_program() {
	# shellcheck disable=SC2016 # perl is to expand it
	"$PAGERCTL" run --local 16M --transport "$TRANSPORT" --donor "$DONOR" --lib "$LIBRARY" \
		perl -e 'my @a = map { $_ x 500 } 10000 .. 30000; sleep 100' \
		>"$TMP/program.out" 2>&1 &
	program=$!
}

# What donors have is entered by another thread, some time after the pages that are there.
has_remote() {
	"$PAGERCTL" stat $program --json >"$TMP/json" 2>"$TMP/err" &&
		[ "$(json active <"$TMP/json")" = 1 ] &&
		[ "$(json memory.remote_bytes <"$TMP/json")" -gt $((10 << 20)) ] &&
		[ "$(json donors.0.out_bytes <"$TMP/json")" -gt $((8 << 20)) ]
}

# ---- a program with memory on a donor ----

start_donor 256M
DONOR=$DONOR_HOST:$DONOR_PORT
start_program

wait_for 30 has_remote || fail "nothing is remote: $(cat "$TMP/program.out" "$TMP/err")"

[ "$(json pid <"$TMP/json")" -eq $program ] || fail "another pid"
[ "$(json program <"$TMP/json")" = perl ] || fail "another program"
[ "$(json budget_bytes <"$TMP/json")" -eq $((16 << 20)) ] || fail "another budget"
[ "$(json over_budget <"$TMP/json")" -eq 0 ] || fail "over budget"
[ "$(json pages.written <"$TMP/json")" -gt 2000 ] || fail "no pages written"
[ "$(json pages.corrupt <"$TMP/json")" -eq 0 ] || fail "corrupt pages"
[ "$(json donors <"$TMP/json")" -eq 1 ] || fail "not one donor"
[ "$(json donors.0.name <"$TMP/json")" = "$DONOR" ] || fail "another donor"
[ "$(json donors.0.transport <"$TMP/json")" = "$KIND" ] || fail "not over $KIND"
[ "$(json donors.0.state <"$TMP/json")" = up ] || fail "the donor is not up"

# Every key that the manual names.
keys=0
while read -r key; do
	json "$key" <"$TMP/json" >/dev/null
	keys=$((keys + 1))
done < <(sed -n 's/^|  \([a-z_.0-9]*\)$/\1/p' "$ROOT/docs/man/pagerctl.1.scd")
[ "$keys" -gt 30 ] || fail "the manual names no keys"

"$PAGERCTL" stat $program >"$TMP/out" || fail "no table"
have "^perl, pid $program$" "$TMP/out" "the table does not name it"
have "remote +[0-9.]+ MiB" "$TMP/out" "the table has no remote memory"
have "$DONOR +$KIND +up" "$TMP/out" "the table has no donor"

"$PAGERCTL" stat >"$TMP/out" || fail "no list"
have "^ +$program perl " "$TMP/out" "the list does not have it"
"$PAGERCTL" stat --all --json >"$TMP/out" || fail "no JSON list"
[ "$(json 0.active <"$TMP/out")" = 1 ] || fail "the JSON list is none"

# ---- watching it until it ends ----

"$PAGERCTL" stat --watch 100ms --json $program >"$TMP/watch" &
watcher=$!
lines() {
	[ "$(count_lines . "$TMP/watch")" -ge 3 ]
}
wait_for 10 lines || fail "a watch shows nothing"
kill -TERM $program
wait $program
wait $watcher || fail "a watch fails when the program ends"
tail -n 1 "$TMP/watch" | json memory.remote_bytes >/dev/null

# ---- one killed without a chance leaves nothing that is shown ----

start_program
wait_for 30 has_remote || fail "nothing is remote"
statistics=/dev/shm/libpager-$(id -u)/$program
[ -f "$statistics" ] || fail "no file $statistics"
kill -KILL $program
wait $program 2>/dev/null
is_refused 1 'no such process' "$PAGERCTL" stat $program
is_refused 1 'no such process' "$PAGERCTL" stat --watch 1 $program
"$PAGERCTL" stat --all >"$TMP/out"
[ "$(count_lines "^ +$program " "$TMP/out")" -eq 0 ] || fail "a dead process is shown"
[ ! -e "$statistics" ] || fail "what a dead process left is not removed"

# ---- nothing to show ----

"$PAGERCTL" run --local 1G --donor 127.0.0.1:1 --lib "$LIBRARY" sleep 100 &
small=$!
wait_for 10 grep -q '^sleep$' /proc/$small/comm || fail "no sleep"
"$PAGERCTL" stat $small >"$TMP/out" || fail "a small program is no failure"
have 'not active' "$TMP/out" "does not say that it is not active"
"$PAGERCTL" stat --json $small >"$TMP/out"
[ "$(json active <"$TMP/out")" = 0 ] || fail "active, they say"
kill $small

sleep 100 &
stranger=$!
is_refused 1 'without libpager.so' "$PAGERCTL" stat $stranger
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	cp "$PAGERCTL" "$TMP/pagerctl"
	is_refused 1 'not yours' setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$TMP/pagerctl" stat $stranger
fi
kill $stranger

# ---- nonsense ----

is_refused 2 'abc' "$PAGERCTL" stat abc
is_refused 2 '0' "$PAGERCTL" stat 0
is_refused 2 '-5' "$PAGERCTL" stat -5
is_refused 2 '99999999999' "$PAGERCTL" stat 99999999999
is_refused 2 '1 2|2' "$PAGERCTL" stat 1 2
is_refused 2 '1' "$PAGERCTL" stat --all 1
is_refused 2 '--watch never' "$PAGERCTL" stat --watch never
is_refused 2 '--watch 0' "$PAGERCTL" stat --watch 0
is_refused 2 '--watch' "$PAGERCTL" stat --watch
is_refused 2 '--yaml' "$PAGERCTL" stat --yaml
stop_donor
