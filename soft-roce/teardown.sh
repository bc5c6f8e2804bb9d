#!/bin/bash
# Takes rxe away again from an interface, or from all. Needs root. The modules stay: others may use them.
#
#   soft-roce/teardown.sh [IFACE]
set -u

. "$(dirname "$0")/lib/rxe.sh"

[ $# -le 1 ] || fail "usage: teardown.sh [IFACE]"
needs_root
needs_commands rdma
rxe_devices "${1:-}" | while read -r device _; do
	why=$(rdma link delete "$device" 2>&1) || fail "rdma link delete $device: $why"
done
