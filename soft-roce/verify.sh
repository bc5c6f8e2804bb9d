#!/bin/bash
# Proves that RDMA works over rxe on an interface, this host talking to itself: connections and both
# kinds of messages (rping), one-sided reads (ib_read_lat), and a plain queue pair whose content is
# checked (ibv_rc_pingpong). Prints a line for each; status 0 if all work.
#
#   soft-roce/verify.sh [IFACE]     IFACE: the first that has rxe if not given
set -u

. "$(dirname "$0")/lib/rxe.sh"

LIMIT_S=60 # for a program: a second is enough, but an emulated machine may be busy
TRIES=20   # of a client, half a second apart, until its server listens
ROUNDS=100

tmp=$(mktemp -d)
server_pid=''
trap '[ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null; rm -rf "$tmp"' EXIT

# ---- the device ----

address_of() {
	ip -4 -o addr show dev "$1" | sed -n 's/.* inet \([0-9.]*\).*/\1/p' | head -n 1
}

# gid_index DEVICE ADDRESS: which of its GIDs is that address for RoCE v2; an IPv4 address is
# ::ffff:A.B.C.D.
gid_index() {
	local gid file

	# shellcheck disable=SC2046,SC2183 # the four numbers of an address
	gid=$(printf '0000:0000:0000:0000:0000:ffff:%02x%02x:%02x%02x' $(tr . ' ' <<<"$2"))
	for file in "/sys/class/infiniband/$1/ports/1/gids"/*; do
		[ "$(cat "$file" 2>/dev/null)" = "$gid" ] || continue
		echo "${file##*/}"
		return
	done
}

# ---- programs that talk to themselves ----

limited() {
	timeout --kill-after=2 $LIMIT_S "$@"
}

# A server that has ended will not be found by one more try.
client_until_found() {
	local try

	for ((try = 0; try < TRIES; try++)); do
		limited "$@" >"$tmp/client" 2>&1 && return
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.5
	done
	return 1
}

last_line() {
	grep -v '^[-* ]*$' "$1" | tail -n 1
}

# pair SERVER... -- CLIENT...: both have to end well.
pair() {
	local server=()

	while [ "$1" != -- ]; do
		server+=("$1")
		shift
	done
	shift
	limited "${server[@]}" >"$tmp/server" 2>&1 &
	server_pid=$!
	client_until_found "$@" ||
		fail "$1 to $address on $device: client: $(last_line "$tmp/client"); server: $(last_line "$tmp/server")"
	wait "$server_pid" || fail "$1 on $device: server: $(last_line "$tmp/server")"
	server_pid=''
}

verify_rping() {
	local pings

	pair rping -s -a "$address" -C $ROUNDS -V -- rping -c -a "$address" -C $ROUNDS -V -v
	# rping may fail and say so only in words.
	pings=$(grep -c 'ping data: rdma-ping' "$tmp/client")
	[ "$pings" = $ROUNDS ] || fail "rping: $pings of $ROUNDS pings came back"
	echo "rping: $pings pings, content checked"
}

verify_read() {
	local options=(-d "$device" -x "$gid" -s 4096 -n "$ROUNDS" -F) median

	pair ib_read_lat "${options[@]}" -- ib_read_lat "${options[@]}" "$address"
	median=$(awk '$1 == 4096 && NF >= 5 { print $5 }' "$tmp/client")
	[ -n "$median" ] || fail "ib_read_lat: no result: $(last_line "$tmp/client")"
	echo "ib_read_lat: a READ of 4096 bytes takes $median us"
}

verify_pingpong() {
	local options=(-d "$device" -g "$gid" -n "$ROUNDS" -c)

	pair ibv_rc_pingpong "${options[@]}" -- ibv_rc_pingpong "${options[@]}" "$address"
	! grep -qi 'invalid data' "$tmp/client" "$tmp/server" || fail "ibv_rc_pingpong: wrong data"
	echo "ibv_rc_pingpong: $ROUNDS messages there and back, content checked"
}

[ $# -le 1 ] || fail "usage: verify.sh [IFACE]"
needs_commands ip rping ib_read_lat ibv_rc_pingpong
read -r device iface < <(rxe_devices "${1:-}") || fail "no rxe device${1:+ on $1}: run setup.sh first"
address=$(address_of "$iface")
[ -n "$address" ] || fail "$iface has no IPv4 address: give it one (ip addr add 10.0.0.1/24 dev $iface)"
gid=$(gid_index "$device" "$address")
[ -n "$gid" ] || fail "$device has no GID for $address"
verify_rping
verify_read
verify_pingpong
