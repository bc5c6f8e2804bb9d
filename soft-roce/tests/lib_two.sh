# shellcheck shell=bash
#
# For tests with the program in guest a and its donor in guest b. Sources lib.sh.
#
# From soft-roce/check: COMMON_DIR, a directory that both guests see.

. "$ROOT/soft-roce/tests/lib.sh"

need_engine

# How long the engine may take to see that RDMA is over (a queue pair sends again for some 5 s), and
# that it is back (it looks every 5 s), on a machine that is emulated.
NOTICE_S=25
# How long until so much has been fetched that the program must be going on.
GO_ON_S=20
FETCHED=100 # pages

DONOR_B_LOG=$COMMON_DIR/donor.log
DONORS=b

host_do() {
	"$ROOT/soft-roce/host-do" "$@" || fail "host-do $*: status $?"
}

# in_b SHELL: runs in guest b.
in_b() {
	host_do run sh -c "$1"
}

# tidy: whatever a test has done to the guests, the next one finds them as they were.
tidy() {
	"$ROOT/soft-roce/host-do" cont
	"$ROOT/soft-roce/host-do" link up
	"$ROOT/soft-roce/host-do" run sh -c "{ kill -KILL \$(cat '$COMMON_DIR/donor.pid')
		tc qdisc del dev eth0 clsact; ip link del lossy; } 2>/dev/null"
} 2>/dev/null
trap tidy EXIT

# start_donor_in_b SIZE
start_donor_in_b() {
	rm -f "$COMMON_DIR"/donor.*
	in_b "setsid '$DONORD' --size $1 --listen 10.77.0.2:7471 --local-socket none --rdma required \
		>'$DONOR_B_LOG' 2>&1 & echo \$! >'$COMMON_DIR/donor.pid'"
	wait_for 20 grep -qs '^donord ready: ' "$DONOR_B_LOG" ||
		fail "donord in b did not get ready: $(cat "$DONOR_B_LOG")"
}

kill_donor_in_b() {
	in_b "kill -KILL \$(cat '$COMMON_DIR/donor.pid')"
}

# A program that goes on until it is told to end: nobody can say how long a test takes.
PATTERN=("$PROGS/prog_pattern" 36 2 1000)

# rdma_answers: whether b does, over RDMA, a program that has nothing to do with libpager. Its server stays
# (-P) for the next try, if a client fails.
rdma_answers() {
	local try

	in_b "setsid timeout 30 rping -s -P -a 10.77.0.2 -C 1 >/dev/null 2>&1 &"
	for try in 1 2 3 4 5; do
		timeout 5 rping -c -a 10.77.0.2 -C 1 >/dev/null 2>&1 && return
		sleep 0.$try
	done
	return 1
}

# What there is to see of a guest's devices, and who of its kernel waits for what.
STATE='grep -H . /sys/class/infiniband/*/ports/1/*state; rdma resource show; rdma resource show cm_id
	rdma statistic show; ip -s link show eth0; ip neigh; echo w >/proc/sysrq-trigger; dmesg | tail -n 30'

# check_rdma: if it is the kernel of a guest that is at fault, soft-roce/check is told, and shows why.
check_rdma() {
	rdma_answers && return
	sh -c "$STATE" 2>&1 | sed 's/^/a: /' >"$COMMON_DIR/stuck.a"
	in_b "{ $STATE; } 2>&1 | sed 's/^/b: /' >'$COMMON_DIR/stuck.b'"
	note "RDMA between the guests does not work for rping either"
}

# start_pattern: a donor in b and the program here, which has pages there over verbs that it has chosen
# itself.
start_pattern() {
	start_donor_in_b 256M
	LIBPAGER_LOG=info start_program auto "${PATTERN[@]}" $RANDOM
	grep -q 'donor b connected over verbs' "$TMP/engine.log" || check_rdma
	have 'donor b connected over verbs' "$TMP/engine.log" "not over verbs, although it could be"
}

fetched() {
	"$PAGERCTL" stat "$PROGRAM_PID" --json 2>/dev/null |
		sed -n 's/.*"major": *\([0-9][0-9]*\).*/\1/p'
}

_has_fetched() {
	local now

	now=$(fetched)
	[ -n "$now" ] && [ "$now" -ge "$1" ]
}

# goes_on: much more is fetched than at the moment.
goes_on() {
	local before begun

	begun=$(now_ms)
	before=$(fetched)
	[ -n "$before" ] || fail "the program has ended: $(cat "$TMP/engine.log" "$TMP/err")"
	wait_for $GO_ON_S _has_fetched $((before + FETCHED)) ||
		fail "the program does not go on: $(cat "$TMP/engine.log" "$TMP/err")"
	note "$FETCHED pages after $(($(now_ms) - begun)) ms"
}

# says PATTERN: within NOTICE_S a line of the engine does.
says() {
	local begun

	begun=$(now_ms)
	wait_for $NOTICE_S grep -Eq -- "$1" "$TMP/engine.log" ||
		fail "no line with: $1; $(cat "$TMP/engine.log" "$TMP/err")"
	note "$1: after $(($(now_ms) - begun)) ms"
}

# ends_all_right: the program is told to, and every byte is as it should be.
ends_all_right() {
	local status=0

	kill -TERM "$PROGRAM_PID"
	wait "$PROGRAM_PID" || status=$?
	note "$(cat "$TMP/engine.log" "$TMP/out")"
	[ $status -eq 0 ] || fail "status $status: $(cat "$TMP/engine.log" "$TMP/err")"
	have "$BAD_RESULT" "$TMP/out" "the program did not do its work"
}

# says_no_more: nothing happened to the connection that the engine would have had to say.
says_no_more() {
	! grep -Eq 'failed|gone|going on' "$TMP/engine.log" || fail "$(cat "$TMP/engine.log")"
}
