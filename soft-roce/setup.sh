#!/bin/bash
# Puts rxe on a network interface: an RDMA device in software (RoCE v2), on a host whose kernel has
# rdma_rxe. Needs root. Does nothing where it is already so.
#
#   soft-roce/setup.sh [IFACE]     IFACE: the one of the default route if not given
#
# Prints the name of the RDMA device. verify.sh proves that it works, teardown.sh takes it away.
set -u

. "$(dirname "$0")/lib/rxe.sh"

# load NAME...: those of the modules that are not there yet.
load() {
	local name missing=()

	for name in "$@"; do
		[ -e "/sys/module/$name" ] || missing+=("$name")
	done
	[ ${#missing[@]} -eq 0 ] || modprobe -a "${missing[@]}" 2>&1
}

load_modules() {
	local why

	why=$(load rdma_rxe) ||
		fail "cannot load rdma_rxe into Linux $(uname -r): ${why##*$'\n'}; use soft-roce/guest instead"
	# rxe asks the crypto layer for "crc32"; where the kernel does not load that by itself `rdma link
	# add` fails with ENOENT. Linux has one of these, both, or, from 6.15, none, and needs none.
	load crc32_generic crc32_pclmul >/dev/null
	# User space talks to the device through these; udev loads them elsewhere.
	why=$(load ib_uverbs rdma_ucm) || fail "cannot load ib_uverbs and rdma_ucm: ${why##*$'\n'}"
}

add_link() {
	local iface=$1 why

	why=$(rdma link add "rxe_$iface" type rxe netdev "$iface" 2>&1) ||
		fail "rdma link add on $iface: ${why##*$'\n'}"
}

[ $# -le 1 ] || fail "usage: setup.sh [IFACE]"
needs_root
needs_commands rdma ip modprobe
iface=${1:-$(rxe_default_iface)}
[ -n "$iface" ] || fail "no default route to choose an interface by: name one"
[ -e "/sys/class/net/$iface" ] || fail "no interface $iface: there are $(ls -m /sys/class/net)"

load_modules
[ -n "$(rxe_device "$iface")" ] || add_link "$iface"
rxe_wait_active "$iface" || fail "$(rxe_device "$iface") does not become active: is $iface up (ip link set $iface up)?"
rxe_device "$iface"
