#!/bin/bash
# donord by itself: says when it is ready, lends and takes back, ends in order, and tells in one line
# what is wrong with what it was asked for.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

CLIENT=$PROGS/prog_donor_client
SLAB_KIB=$((32 << 10))
OUT=$TMP/out

# client COMMAND...: over TCP to the donor started last; what it says is in $OUT.
client() {
	"$CLIENT" "127.0.0.1:$DONOR_PORT" "$@" >"$OUT" || fail "client $*: $(tail -n 1 "$OUT")"
}

# says LINE: the client's last words hold this line.
says() {
	grep -Fqx -- "$1" "$OUT" || fail "expected '$1' in: $(cat "$OUT")"
}

# begins TEXT
begins() {
	grep -q -- "^$1" "$OUT" || fail "expected a line that begins '$1' in: $(cat "$OUT")"
}

# Memory of all slabs that exist, in KiB.
slab_memory() {
	local fd blocks kib=0

	for fd in "/proc/$DONOR_PID/fd/"*; do
		case $(readlink "$fd") in
		*donord-slab*)
			blocks=$(stat -L -c %b "$fd" 2>/dev/null) || continue # just gone
			kib=$((kib + blocks / 2))
			;;
		esac
	done
	echo $kib
}

has_memory() {
	[ "$(slab_memory)" -eq "$1" ]
}

has_memory_at_least() {
	[ "$(slab_memory)" -ge "$1" ]
}

descriptors() {
	find "/proc/$DONOR_PID/fd" -mindepth 1 | wc -l
}

has_descriptors() {
	[ "$(descriptors)" -eq "$1" ]
}

# KiB.
resident() {
	awk '/^VmRSS/ { print $2 }' "/proc/$DONOR_PID/status"
}

# Hundredths of a second that the donor has computed for.
cpu_ticks() {
	awk '{ print $14 + $15 }' "/proc/$DONOR_PID/stat"
}

# refused STATUS PATTERN OPTION...: donord does not start, says why in one line and on descriptor 2.
refused() {
	local status=$1 pattern=$2 got=0

	shift 2
	timeout 10 "$DONORD" "$@" >"$OUT" 2>"$TMP/why" || got=$?
	[ "$got" -eq "$status" ] || fail "donord $*: status $got, expected $status"
	[ ! -s "$OUT" ] || fail "donord $*: announced itself: $(cat "$OUT")"
	[ "$(wc -l <"$TMP/why")" -eq 1 ] || fail "donord $*: not one line: $(cat "$TMP/why")"
	have "^donord: $pattern" "$TMP/why" "donord $*: another line was expected"
}

a_readiness_line_tells_size_and_addresses() {
	start_donor 256M
	have "^donord ready: 256 MiB in 8 slabs on 127\.0\.0\.1:$DONOR_PORT and $DONOR_SOCK$" \
		"$DONOR_LOG" "no readiness line"
	client hello
	begins "welcome slabs=8 free=8 slab_bytes=33554432 lease=10000 renew=5000 port=$DONOR_PORT path=$DONOR_SOCK"
	stop_donor
	[ ! -e "$DONOR_SOCK" ] || fail "the socket's file is left behind"
}

systemd_is_told() {
	need python3
	cat >"$TMP/notify.py" <<-'EOF'
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		s.settimeout(20)
		for _ in range(2):
		    print(s.recv(4096).decode(), flush=True)
	EOF
	python3 "$TMP/notify.py" "$TMP/notify.sock" >"$TMP/notified" &
	local listener=$!
	wait_for 10 test -S "$TMP/notify.sock" || fail "no listener"
	NOTIFY_SOCKET=$TMP/notify.sock start_donor 64M
	stop_donor
	wait "$listener" || fail "donord told less than it should"
	have '^READY=1$' "$TMP/notified" "not told that it is ready"
	have '^STOPPING=1$' "$TMP/notified" "not told that it stops"
}

leases_are_granted_and_returned() {
	start_donor 256M
	client hello lease 3 return 2 lease 1 lease 100 return 8 sleep 300 lease 8 bye
	says "granted 3 free=5"
	says "granted 6 free=0"
	says "granted 8 free=0"
	stop_donor
}

data_goes_both_ways_and_starts_as_zeros() {
	local kind

	start_donor 128M
	for kind in shm tcp; do
		client hello "$kind" lease 4 zeros write check return 4 lease 4 zeros bye
		says "checked 128 MiB"
		[ "$(count_lines '^zeros 128 MiB$' "$OUT")" -eq 2 ] || fail "not all zeros over $kind"
	done
	stop_donor
}

sessions_cannot_use_each_others_keys() {
	local kind

	start_donor 64M
	for kind in shm tcp; do
		client hello "$kind" lease 1 write thief
		says "refused: Permission denied"
	done
	stop_donor
}

the_local_socket_carries_control_and_data() {
	"$DONORD" --size 64M --listen none --local-socket "$TMP/only.sock" >"$TMP/only.log" 2>&1 &
	local pid=$!
	wait_for 10 grep -q '^donord ready: 64 MiB in 2 slabs on /' "$TMP/only.log" ||
		fail "not ready: $(cat "$TMP/only.log")"
	"$CLIENT" "unix:$TMP/only.sock" hello shm lease 2 write check bye >"$OUT" ||
		fail "$(tail -n 1 "$OUT")"
	says "checked 64 MiB"
	stop_donor $pid
}

silent_clients_lose_their_leases_and_are_told() {
	start_donor 64M --lease 2s
	client hello lease 2 expect lease 2 renew bye
	says "REVOKED 2"
	says "renewed free=0"
	stop_donor
}

heartbeats_keep_leases() {
	start_donor 64M --lease 3s
	client hello shm lease 2 write sleep 1600 renew sleep 1600 renew check \
		return 2 sleep 100 renew bye
	says "checked 64 MiB"
	says "renewed free=0"
	[ "$(count_lines 'leases expired' "$DONOR_LOG")" -eq 0 ] || fail "a lease expired"
	stop_donor
}

a_killed_client_keeps_nothing() {
	start_donor 256M
	has_memory 0 || fail "an idle donor has $(slab_memory) KiB"
	"$CLIENT" "127.0.0.1:$DONOR_PORT" hello tcp lease 4 write sleep 60000 >"$OUT" &
	local victim=$!
	wait_for 20 grep -q '^wrote' "$OUT" || fail "the client did not get so far"
	has_memory_at_least $((4 * SLAB_KIB)) || fail "only $(slab_memory) KiB are lent"
	kill -KILL $victim
	wait_for 5 has_memory 0 || fail "$(slab_memory) KiB are kept for a dead client"
	client hello
	begins "welcome slabs=8 free=8 "
	stop_donor
}

sigterm_ends_it_in_order() {
	local start end

	start_donor 256M
	"$CLIENT" "127.0.0.1:$DONOR_PORT" hello lease 4 expect expect >"$OUT" &
	local visitor=$!
	wait_for 10 grep -q '^granted' "$OUT" || fail "no lease"
	start=$(date +%s%N)
	stop_donor
	end=$(date +%s%N)
	[ $(((end - start) / 1000000)) -lt 2000 ] || fail "it took more than 2 s"
	wait $visitor || fail "the client was not told"
	says "ERROR 4 the donor is going away"
	says "closed"
}

sigint_does_too_with_a_client_that_does_not_listen() {
	start_donor 64M
	"$CLIENT" "127.0.0.1:$DONOR_PORT" hello lease 1 sleep 60000 >"$OUT" &
	wait_for 10 grep -q '^granted' "$OUT" || fail "no lease"
	kill -INT "$DONOR_PID"
	wait_for 2 gone "$DONOR_PID" || fail "donord does not end"
	wait "$DONOR_PID" || fail "donord ended with status $?"
}

versions_without_overlap_are_named() {
	start_donor 64M
	client hello 7-9 expect expect
	grep -q '^ERROR 1 .*versions 1 to 1 .* client 7 to 9' "$OUT" || fail "$(cat "$OUT")"
	says "closed"
	stop_donor
}

garbage_is_refused_and_closed() {
	start_donor 64M --max-sessions 2
	client raw 47455420 expect
	says "closed"
	client raw 4c504352 raw ffffffffffffffff expect expect
	begins "ERROR 2 "
	client raw 4c504352 raw 0000000007000000 expect expect # RENEW before HELLO
	says "ERROR 2 renew out of turn"
	client hello raw 0000000005000000 expect
	begins "ERROR 2 "
	client hello lease 2 bye
	says "granted 2 free=0"
	stop_donor
}

one_client_too_many_is_told() {
	start_donor 64M --max-sessions 1
	"$CLIENT" "127.0.0.1:$DONOR_PORT" hello sleep 60000 >"$TMP/first" &
	local first=$!
	wait_for 10 grep -q '^welcome' "$TMP/first" || fail "no session"
	client hello 1-1 expect expect
	begins "ERROR 3 1 clients are connected"
	kill -KILL $first
	wait $first 2>/dev/null
	wait_for 5 "$CLIENT" "127.0.0.1:$DONOR_PORT" hello >/dev/null || fail "its place is not free"
	stop_donor
}

clients_without_hello_do_not_keep_others_out() {
	start_donor 64M --max-sessions 2
	for _ in 1 2 3; do
		"$CLIENT" "127.0.0.1:$DONOR_PORT" raw 4c504352 sleep 4000 >"$TMP/mute" &
		wait_for 5 grep -q sent "$TMP/mute" || fail "not connected"
	done
	client hello lease 1 bye
	stop_donor
}

idle_clients_lose_their_place() {
	start_donor 64M --lease 1s --max-sessions 2
	for _ in 1 2; do
		"$CLIENT" "127.0.0.1:$DONOR_PORT" hello sleep 60000 >"$TMP/idle" &
		wait_for 5 grep -q '^welcome' "$TMP/idle" || fail "no session"
	done
	client hello 1-1 expect expect
	begins "ERROR 3 2 clients are connected"
	wait_for 5 "$CLIENT" "127.0.0.1:$DONOR_PORT" hello >/dev/null || fail "no place becomes free"
	client hello expect expect
	says "ERROR 2 no sign of life for 2000 ms"
	says "closed"
	stop_donor
}

visitors_do_not_fill_the_log() {
	local shown hidden

	start_donor 64M
	for _ in {1..50}; do
		client hello bye
	done
	shown=$(count_lines 'session [0-9]+ (opened|closed)' "$DONOR_LOG")
	[ "$shown" -le 20 ] || fail "$shown lines about 50 visitors"
	stop_donor
	shown=$(count_lines 'session [0-9]+ (opened|closed)' "$DONOR_LOG")
	hidden=$(sed -n 's/.* \([0-9]*\) more lines about strangers not shown$/\1/p' "$DONOR_LOG" |
		awk '{ sum += $1 } END { print sum + 0 }')
	[ $((shown + hidden)) -eq 100 ] || fail "$shown lines shown, $hidden told of, 100 expected"
}

a_log_that_nobody_reads_keeps_no_client_waiting() {
	local pid

	mkfifo "$TMP/log.fifo"
	exec 9<>"$TMP/log.fifo" # a reader that does not read
	"$DONORD" --size 64M --listen none --local-socket "$TMP/mute.sock" \
		>"$TMP/mute.out" 2>"$TMP/log.fifo" &
	pid=$!
	wait_for 10 grep -q '^donord ready' "$TMP/mute.out" || fail "not ready"
	dd if=/dev/zero of="$TMP/log.fifo" oflag=nonblock bs=1 count=1M 2>"$TMP/dd.err" || true
	grep -q 'temporarily unavailable' "$TMP/dd.err" || fail "the log is not full: $(cat "$TMP/dd.err")"
	for _ in 1 2 3; do
		timeout 5 "$CLIENT" "unix:$TMP/mute.sock" hello lease 1 bye >"$OUT" ||
			fail "a client waits for the log: $(cat "$OUT")"
	done
	stop_donor $pid
	exec 9>&-
}

callers_that_say_nothing_are_closed() {
	local before

	start_donor 64M
	before=$(descriptors)
	"$CLIENT" "127.0.0.1:$DONOR_PORT" raw 4c expect >"$TMP/part" &
	"$CLIENT" "127.0.0.1:$DONOR_PORT" raw 4c504352 expect >"$TMP/greeting" &
	wait_for 8 grep -q closed "$TMP/part" || fail "one that said a part stays"
	wait_for 8 grep -q closed "$TMP/greeting" || fail "one without HELLO stays"
	"$CLIENT" "127.0.0.1:$DONOR_PORT" open 600 sleep 60000 >"$OUT" &
	local crowd=$!
	wait_for 10 grep -q '^opened' "$OUT" || fail "$(cat "$OUT")"
	[ "$(descriptors)" -lt $((before + 300)) ] || fail "$(descriptors) descriptors"
	client hello lease 1 bye
	wait_for 8 has_descriptors "$before" || fail "$(descriptors) descriptors, $before before"
	kill -KILL $crowd
	stop_donor
}

ten_thousand_callers_leave_nothing() {
	local idle before after

	# In a sanitizer's build freed memory is kept for a while: for a short one here.
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=0:thread_local_quarantine_size_kb=0 \
		start_donor 64M
	idle=$(descriptors)
	client knock 10000
	before=$(resident)
	client knock 10000
	wait_for 10 has_descriptors "$idle" || fail "$(descriptors) descriptors, $idle before"
	after=$(resident)
	[ "$after" -le $((before + 1024)) ] || fail "from $before KiB to $after KiB"
	[ "$(wc -l <"$DONOR_LOG")" -lt 30 ] || fail "strangers fill the log"
	stop_donor
}

without_descriptors_it_waits_and_goes_on() {
	local ticks

	(
		ulimit -n 48
		exec "$DONORD" --size 64M --listen 127.0.0.1:0 --local-socket none
	) >"$TMP/few.log" 2>&1 &
	DONOR_PID=$!
	wait_for 10 grep -q '^donord ready' "$TMP/few.log" || fail "$(cat "$TMP/few.log")"
	DONOR_PORT=$(sed -n 's/^donord ready: .* on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$TMP/few.log")
	"$CLIENT" "127.0.0.1:$DONOR_PORT" open 100 sleep 60000 >"$OUT" &
	local crowd=$!
	wait_for 10 grep -q 'no connection accepted for now' "$TMP/few.log" || fail "no shortage"
	ticks=$(cpu_ticks)
	sleep 2
	[ $(($(cpu_ticks) - ticks)) -lt 20 ] || fail "it spins: $(($(cpu_ticks) - ticks)) ticks"
	kill -KILL $crowd
	wait_for 10 "$CLIENT" "127.0.0.1:$DONOR_PORT" hello >/dev/null || fail "it does not recover"
	stop_donor
}

idle_costs_nothing() {
	local ticks

	start_donor 64M
	"$CLIENT" "127.0.0.1:$DONOR_PORT" hello tcp lease 1 write sleep 60000 >"$OUT" &
	wait_for 20 grep -q '^wrote' "$OUT" || fail "no data"
	sleep 0.5
	ticks=$(cpu_ticks)
	sleep 2
	ticks=$(($(cpu_ticks) - ticks))
	[ $ticks -le 4 ] || fail "$ticks ticks of 200 with an idle client"
	stop_donor
}

ipv6_is_listened_on() {
	[ -e /proc/net/if_inet6 ] || return 0
	"$DONORD" --size 64M --listen '[::1]:0' --listen 127.0.0.1:0 --local-socket none \
		>"$TMP/six.log" 2>&1 &
	local pid=$! port
	wait_for 10 grep -q '^donord ready' "$TMP/six.log" || fail "$(cat "$TMP/six.log")"
	port=$(sed -n 's/^donord ready: .* on \[::1\]:\([0-9]*\) and 127.*/\1/p' "$TMP/six.log")
	[ -n "$port" ] || fail "no IPv6 address: $(cat "$TMP/six.log")"
	"$CLIENT" "[::1]:$port" hello tcp lease 1 write check bye >"$OUT" || fail "$(cat "$OUT")"
	begins "welcome .* port=$port "
	says "checked 32 MiB"
	stop_donor $pid
}

a_dead_donors_socket_is_replaced_a_living_ones_is_not() {
	start_donor 64M
	refused 1 'cannot listen on .*another program is listening there' \
		--size 64M --listen none --local-socket "$DONOR_SOCK"
	"$CLIENT" "unix:$DONOR_SOCK" hello bye >"$OUT" || fail "the living one is harmed"
	kill_donor "$DONOR_PID"
	[ -S "$DONOR_SOCK" ] || fail "the test wants a stale socket"
	"$DONORD" --size 64M --listen none --local-socket "$DONOR_SOCK" >"$TMP/new.log" 2>&1 &
	local pid=$!
	wait_for 10 grep -q '^donord ready' "$TMP/new.log" || fail "$(cat "$TMP/new.log")"
	stop_donor $pid
	echo precious >"$TMP/file"
	refused 1 'cannot listen on .*no socket' --size 64M --listen none --local-socket "$TMP/file"
	[ -s "$TMP/file" ] || fail "a file was harmed"
}

a_port_in_use_is_named() {
	start_donor 64M
	refused 1 "cannot listen on 127.0.0.1:$DONOR_PORT: .* in use: .*another port" \
		--size 64M --listen "127.0.0.1:$DONOR_PORT" --local-socket none
	stop_donor
}

bad_options_get_one_line() {
	refused 2 '--size is missing: .*4G'
	refused 2 '--size 4X: not a size: .*4G' --size 4X
	refused 2 '--size -1G: not a size: .*4G' --size -1G
	refused 2 '--size 99999999999T: not a size' --size 99999999999T
	refused 2 '--size: 1\.0 TiB|--size: .* is more than the .* this host has' --size 900T
	refused 2 '--size needs a value' --size
	refused 2 '--size .*less than one slab of 32 MiB' --size 1M
	refused 2 'option --sizes is not known' --sizes 4G
	refused 2 'option -s is not known' -s 4G
	refused 2 'oops is not an option' --size 64M oops
	refused 2 '--listen .*: not an address: .*0\.0\.0\.0:7471' --size 64M --listen here:there
	refused 2 '--listen .*: not an address' --size 64M --listen 127.0.0.1:70000
	refused 2 '--listen none and .*leave one' --size 64M --listen none --listen 127.0.0.1:0
	refused 2 '--listen none and --local-socket none' --size 64M --listen none --local-socket none
	refused 2 '--local-socket .*shorter' --size 64M --local-socket "/$(printf '%0120d' 0)"
	refused 2 '--slab-size 3M: not a power of two' --size 64M --slab-size 3M
	refused 2 '--slab-size 128M: not a power of two from 1M to 64M' --size 512M --slab-size 128M
	refused 2 '--numa-node 999: this host has no such node' --size 64M --numa-node 999
	refused 2 '--numa-node x: not the number' --size 64M --numa-node x
	refused 2 '--lease soon: not a time: .*10s' --size 64M --lease soon
	refused 2 '--renew must be shorter' --size 64M --lease 5s --renew 5s
	refused 2 '--renew 0: not a time' --size 64M --renew 0
	refused 2 '--max-sessions 0: not a number from 1' --size 64M --max-sessions 0
	refused 2 '--log loud: not one of debug, info, warn, error' --size 64M --log loud
	refused 1 'cannot listen on 192\.0\.2\.1:0: ' --size 64M --listen 192.0.2.1:0
	refused 1 'cannot listen on /nowhere/x: ' --size 64M --listen none --local-socket /nowhere/x
}

missing_huge_pages_are_explained() {
	[ "$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2>/dev/null)" = 0 ] ||
		return 0
	refused 2 '--huge-pages: 32 huge pages .*sysctl vm\.nr_hugepages=32' --size 64M --huge-pages
}

help_and_version_are_printed() {
	"$DONORD" --help >"$OUT" || fail "--help fails"
	begins 'Usage: donord'
	"$DONORD" --version >"$OUT" || fail "--version fails"
	begins 'donord [0-9]'
}

PROMISES=(
	a_readiness_line_tells_size_and_addresses
	systemd_is_told
	leases_are_granted_and_returned
	data_goes_both_ways_and_starts_as_zeros
	sessions_cannot_use_each_others_keys
	the_local_socket_carries_control_and_data
	silent_clients_lose_their_leases_and_are_told
	heartbeats_keep_leases
	a_killed_client_keeps_nothing
	sigterm_ends_it_in_order
	sigint_does_too_with_a_client_that_does_not_listen
	versions_without_overlap_are_named
	garbage_is_refused_and_closed
	one_client_too_many_is_told
	clients_without_hello_do_not_keep_others_out
	idle_clients_lose_their_place
	visitors_do_not_fill_the_log
	a_log_that_nobody_reads_keeps_no_client_waiting
	callers_that_say_nothing_are_closed
	ten_thousand_callers_leave_nothing
	without_descriptors_it_waits_and_goes_on
	idle_costs_nothing
	ipv6_is_listened_on
	a_dead_donors_socket_is_replaced_a_living_ones_is_not
	a_port_in_use_is_named
	bad_options_get_one_line
	missing_huge_pages_are_explained
	help_and_version_are_printed
)
for promise in "${PROMISES[@]}"; do
	note "$promise"
	"$promise"
done
