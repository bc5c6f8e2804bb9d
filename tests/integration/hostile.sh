#!/bin/bash
# donord withstands what comes to its ports from whoever can reach them: nothing hangs, nobody gets
# at what is not his, a good client is served at any time, and afterwards there is no descriptor and
# no memory more than before.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

CLIENT=$PROGS/prog_donor_client
TIMES=$(sized 1 1 8)
SLACK_KIB=2048 # the allocator's own

descriptors() {
	find "/proc/$DONOR_PID/fd" -mindepth 1 | wc -l
}

has_descriptors() {
	[ "$(descriptors)" -eq "$1" ]
}

resident_kib() {
	awk '/^VmRSS/ { print $2 }' "/proc/$DONOR_PID/status"
}

# A sanitizer keeps what was freed, and finds what is lost in another way.
has_resident() {
	grep -q '__[at]san_init' "$DONORD" || [ "$(resident_kib)" -le "$1" ]
}

cpu_ticks() {
	awk '{ print $14 + $15 }' "/proc/$DONOR_PID/stat"
}

good_client() {
	"$CLIENT" "127.0.0.1:$DONOR_PORT" hello "$1" lease 4 zeros write check return 4 bye \
		>"$TMP/client" || fail "a good client is not served over $1: $(tail -n 1 "$TMP/client")"
}

# attack NAME COUNT
attack() {
	local start=$SECONDS

	timeout 100 "$PROGS/prog_hostile" "$DONOR_PORT" "$DONOR_SOCK" "$1" $(($2 * TIMES)) ||
		fail "$1 $2"
	note "$1: $((SECONDS - start)) s"
	gone "$DONOR_PID" && fail "$1 has ended donord: $(tail -n 20 "$DONOR_LOG")"
	good_client tcp
}

all_attacks() {
	attack garbage 400
	attack truncation 4
	attack oversize 2
	attack versions 2
	attack out_of_turn 2
	attack greed 4
	attack foreign_returns 4
	attack deaf_control 2
	attack bad_names 4
	attack tokens 16
	attack bounds 1
	attack bad_requests 2
	attack foreign_keys 4
	attack half_writes 4
	attack deaf_reader 1000
	attack slow_sender 1
	attack shm_questions 4
	attack stray_descriptors 300
	attack churn 10000
	TIMES=1 # these are numbers of connections at the same time
	attack hoard 1200
	attack silence 1000
}

start_donor 64M --slab-size 1M
good_client tcp
good_client shm
# What the first of many connections leaves is not growth.
"$PROGS/prog_hostile" "$DONOR_PORT" "$DONOR_SOCK" churn 500 || fail "a small crowd"
sleep 0.5
fds=$(descriptors)
kib=$(resident_kib)

all_attacks

good_client shm
wait_for 15 has_descriptors "$fds" || fail "$(descriptors) descriptors, $fds before"
wait_for 15 has_resident $((kib + SLACK_KIB)) ||
	fail "$(resident_kib) KiB resident, $kib KiB before"
note "$fds descriptors, $kib KiB before and $(resident_kib) KiB after"
[ "$(count_lines '^donord: forged' "$DONOR_LOG")" -eq 0 ] || fail "a client writes donord's log"
[ "$(count_lines '[[:cntrl:]]' "$DONOR_LOG")" -eq 0 ] || fail "a client's bytes are in the log"
ticks=$(cpu_ticks)
sleep 1
[ $(($(cpu_ticks) - ticks)) -le 10 ] || fail "it computes with nobody there"
stop_donor
