#!/bin/bash
#
# make demo: a real program whose data is four times what it may keep here. Runs sqlite3 with a
# database in memory plain, with three quarters of its memory on a donor of this host over shm and
# over tcp, and, as root, under the same limit with the kernel's swap to zram. Each result is compared
# with the plain one. Leaves nothing behind.
#
#   O=DIR scripts/demo.sh      O: where make has built, build if not given
#
# ROWS changes the size (some 400 bytes a row), SHARE what stays here (a quarter: 4).

set -u

ROOT=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(realpath -m "${O:-$ROOT/build}")
ROWS=${ROWS:-250000}
SHARE=${SHARE:-4}

DONORD=$BUILD/donord
PAGERCTL=$BUILD/pagerctl
LOOK_S=0.1 # between looks at a program

. "$ROOT/scripts/swap-lib.sh"

tmp=''
donor_pid=''
program_pid=''
live=0 # 1 if the progress line can be written over
[ ! -t 1 ] || live=1

# ---- beginning and end ----

clean_up() {
	[ -z "$program_pid" ] || kill -KILL "$program_pid" 2>/dev/null
	[ -z "$donor_pid" ] || kill -TERM "$donor_pid" 2>/dev/null
	swap_cleanup
	[ -z "$tmp" ] || rm -rf "$tmp"
}

on_signal() {
	exit 130
}

give_up() {
	progress_done
	echo "demo: $*" >&2
	exit 1
}

start_donor() {
	local try

	"$DONORD" --size "$1" --listen 127.0.0.1:0 --local-socket "$tmp/donor.sock" \
		>"$tmp/donor.log" 2>&1 &
	donor_pid=$!
	for try in {1..100}; do
		donor_port=$(sed -n 's/^donord ready: .* on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$tmp/donor.log")
		[ -z "$donor_port" ] || return 0
		kill -0 $donor_pid 2>/dev/null || break
		sleep 0.05
	done
	give_up "no donor after $try looks: $(tail -n 1 "$tmp/donor.log")"
}

# ---- the program ----

write_program() {
	cat >"$tmp/work.sql" <<-SQL
		CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, code INTEGER, body TEXT);
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < $ROWS)
		INSERT INTO item SELECT i, i * 7919 % 1000, i * 2654435761 % 4294967296,
			printf('%x %.*c', i * 2654435761, i % 100 + 250, char(97 + i % 26)) FROM n;
		CREATE INDEX item_code ON item(code);
		CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT);
		WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 999)
		INSERT INTO kind SELECT i, 'kind ' || i FROM n;
		SELECT kind.name, count(*), sum(length(body)), max(code) FROM item
			JOIN kind ON kind.id = item.kind GROUP BY kind.id ORDER BY 3 DESC, 1 LIMIT 50;
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		SELECT count(*), max(body) FROM n
			JOIN item ON item.code = (n.i * 48271 % $ROWS + 1) * 2654435761 % 4294967296;
		PRAGMA integrity_check;
	SQL
}

PROGRAM=(sqlite3 -batch -bail -init /dev/null :memory:)

now_ms() {
	echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# ---- what is seen of it ----

progress() {
	if [ $live = 1 ]; then
		printf '\r\e[K%s' "$*"
	else
		echo "$*"
	fi
}

progress_done() {
	[ $live = 0 ] || printf '\r\e[K'
}

# number_of KEY: of $tmp/stat, the first with that name.
number_of() {
	local number

	number=$(grep -o "\"$1\": *[0-9]*" "$tmp/stat" | head -n 1)
	number=${number##*[: ]}
	echo "${number:-0}"
}

# Anonymous memory of the program that is resident, in KiB.
resident_kib() {
	sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$program_pid/status" 2>/dev/null
}

# show_progress NAME SECONDS KIB
show_progress() {
	local line

	line=$(printf '  %-18s %3d s   here %4d MiB' "$1" "$2" $(($3 >> 10)))
	if "$PAGERCTL" stat "$program_pid" --json >"$tmp/stat" 2>/dev/null &&
		grep -q remote_bytes "$tmp/stat"; then
		line+=$(printf '   on the donor %4d MiB   fetched %7d times' \
			$(($(number_of remote_bytes) >> 20)) "$(number_of major)")
	fi
	progress "$line"
}

# watch NAME: shows the program until it ends; sets peak_kib.
watch() {
	local kib turns=0 begun=$SECONDS

	peak_kib=0
	while kill -0 "$program_pid" 2>/dev/null; do
		kib=$(resident_kib)
		[ "${kib:-0}" -le "$peak_kib" ] || peak_kib=$kib
		# Lines that stay are written less often.
		if [ $live = 1 ] || [ $((turns++ % 20)) = 19 ]; then
			show_progress "$1" $((SECONDS - begun)) "${kib:-0}"
		fi
		sleep $LOOK_S
	done
	progress_done
}

# ---- the runs ----

table=()

# run_it NAME COMMAND...: runs the program by the command, and adds a row to the table.
run_it() {
	local name=$1 begun status=0

	shift
	begun=$(now_ms)
	(
		exec "$@" <"$tmp/work.sql" >"$tmp/out" 2>"$tmp/err"
	) &
	program_pid=$!
	watch "$name"
	wait $program_pid || status=$?
	program_pid=''
	took_ms=$(($(now_ms) - begun))
	[ $status -eq 0 ] || give_up "$name: status $status: $(tail -n 1 "$tmp/err")"
	row_add "$name"
}

# row_add NAME: of the run before, which took took_ms and had peak_kib.
row_add() {
	local verdict='the same'

	[ -e "$tmp/plain" ] || cp "$tmp/out" "$tmp/plain"
	cmp -s "$tmp/plain" "$tmp/out" || verdict=DIFFERENT
	[ "$1" != plain ] || { verdict='' && plain_ms=$took_ms; }
	table+=("$(printf '  %-22s %8.1f s %8.1f x %8d MiB   %s' "$1" "${took_ms}e-3" \
		"$((took_ms * 100 / plain_ms))e-2" $((peak_kib >> 10)) "$verdict")")
}

run_under_libpager() {
	run_it "libpager over $1" "$PAGERCTL" run --local "${local_kib}K" --require \
		--transport "$1" --donor "$2" -- "${PROGRAM[@]}"
	! grep -q 'running without paging' "$tmp/err" || give_up "$(tail -n 1 "$tmp/err")"
}

# limit_run() is a function and waits for the program itself, so there is no pid to look at.
run_under_swap() {
	local why status=0 begun

	if ! why=$(swap_can zram) || ! why=$(swap_can limit); then
		table+=("  kernel swap to zram    not run: $why")
		return
	fi
	swap_zram_on "$((local_kib * (SHARE + 2)))K" || {
		table+=("  kernel swap to zram    not run: no device that can be swapped to")
		return
	}
	progress "  kernel swap to zram"
	begun=$(now_ms)
	LIMIT_PEAK=$tmp/peak limit_run $((local_kib << 10)) "${PROGRAM[@]}" \
		<"$tmp/work.sql" >"$tmp/out" 2>"$tmp/err" || status=$?
	took_ms=$(($(now_ms) - begun))
	progress_done
	swap_all_off
	if [ $status -eq 137 ]; then # the kernel's own way when it cannot swap fast enough
		table+=("  kernel swap to zram    killed by the kernel: out of memory under this limit")
		return
	fi
	[ $status -eq 0 ] || give_up "kernel swap: status $status: $(tail -n 1 "$tmp/err")"
	peak_kib=$(($(cat "$tmp/peak") >> 10))
	row_add "kernel swap to zram"
}

main() {
	command -v sqlite3 >/dev/null || give_up "sqlite3 is missing: scripts/install-deps.sh"
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/libpager-demo.XXXXXX")
	write_program
	echo "sqlite3 builds a database of $ROWS rows in memory, indexes, joins and checks it"
	run_it plain "${PROGRAM[@]}"
	local_kib=$((peak_kib / SHARE))
	echo "its data is $((peak_kib >> 10)) MiB; now with $((local_kib >> 10)) MiB here, the rest elsewhere"
	start_donor "$((peak_kib * 2 / 1024 + 128))M"
	run_under_libpager shm "unix:$tmp/donor.sock"
	run_under_libpager tcp "127.0.0.1:$donor_port"
	run_under_swap
	echo
	echo "                             time   of plain     kept here   result"
	printf '%s\n' "${table[@]}"
	! grep -q DIFFERENT <<<"${table[*]}" || give_up "a result is not what it should be"
}

trap clean_up EXIT
trap on_signal INT TERM HUP
main
