#!/bin/bash
# RDMA fails while tcp works: the program goes on over tcp, says so, and is back when it can be. No
# byte is wrong.
# limit: 120
. "$ROOT/soft-roce/tests/lib_two.sh"

ROCE_PORT=4791

start_pattern
in_b "tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress protocol ip u32 \
	match ip protocol 17 0xff match ip dport $ROCE_PORT 0xffff action drop"
says 'donor b: .* over verbs failed .*: going on over tcp'
goes_on
in_b 'tc filter del dev eth0 ingress'
says 'donor b: going on over verbs again'
goes_on
ends_all_right
