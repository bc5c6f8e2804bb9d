#!/bin/bash
# Puts rxe on a network interface: an RDMA device in software (RoCE v2), on a host whose kernel has
# rdma_rxe. Needs root. Does nothing where it is already so.
#
#   soft-roce/setup.sh [IFACE]     IFACE: the one of the default route if not given
#
# Prints the name of the RDMA device. verify.sh proves that it works, teardown.sh takes it away.
set -u

. "$(dirname "$0")/lib/rxe.sh"

# rxe asks the crypto layer for "crc32", and from Linux 6.14 or so has it without. Where the kernel does
# not load it by itself `rdma link add` fails with ENOENT. A kernel has one of them, none, or both.
load_modules() {
	local why

	why=$(modprobe rdma_rxe 2>&1) || fail "cannot load rdma_rxe into Linux $(uname -r): ${why##*$'\n'}; use soft-roce/guest instead"
	modprobe -q crc32_generic
	modprobe -q crc32_pclmul
	# User space talks to the device through these; udev loads them elsewhere.
	modprobe -a -q ib_uverbs rdma_ucm || fail "cannot load ib_uverbs and rdma_ucm"
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
