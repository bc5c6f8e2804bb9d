#!/bin/bash
# One packet in a hundred is lost: slow, but right. Lost on the way in, see soft-roce/README.md.
# limit: 120
. "$ROOT/soft-roce/tests/lib_two.sh"

LOSE='modprobe -a ifb sch_netem act_mirred cls_matchall && ip link add lossy type ifb && ip link set lossy up &&
	tc qdisc add dev lossy root netem loss 1% && tc qdisc add dev eth0 clsact &&
	tc filter add dev eth0 ingress matchall action mirred egress redirect dev lossy'

FETCHED=1000 # so that some must have been lost
GO_ON_S=60   # each one that is lost costs a while

lost() {
	sed -n 's/.*dropped \([0-9]*\),.*/\1/p' "$COMMON_DIR/lossy" | head -n 1
}

start_pattern
in_b "$LOSE"
goes_on
ends_all_right
in_b "tc -s qdisc show dev lossy >'$COMMON_DIR/lossy'"
note "$(lost) packets lost"
[ "$(lost)" -gt 0 ] || fail "no packet was lost: $(cat "$COMMON_DIR/lossy")"
