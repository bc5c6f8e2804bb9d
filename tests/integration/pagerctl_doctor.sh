#!/bin/bash
# pagerctl doctor says what works, what does not, and what to do; its status is the verdict.
. "$ROOT/tests/integration/lib.sh"

need perl
need_root # for what it says of userfaultfd; as a user the verdict depends on the host

# examine STATUS OPTION...: runs it, output in $TMP/out.
examine() {
	local status=0

	LIBPAGER_SO=$LIBRARY "$PAGERCTL" doctor "${@:2}" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status -eq "$1" ] || fail "status $status, not $1: $(cat "$TMP/out" "$TMP/err")"
}

# Every line is a verdict, or one of the last two.
each_line_is_a_verdict() {
	[ "$(count_lines '^(ok|warn|bad) +[a-z]' "$TMP/out")" -eq $(($(wc -l <"$TMP/out") - 2)) ] ||
		fail "a line without a verdict: $(cat "$TMP/out")"
}

start_donor 64M --slab-size 32M
DONOR=$DONOR_HOST:$DONOR_PORT

# ---- a donor that works ----

examine 0 --donor "$DONOR"
each_line_is_a_verdict
have "^ok +donor +$DONOR: .* free, over shm, 4 KiB in [0-9.]+ [nu]s" \
	"$TMP/out" "nothing measured over shm"
have '^paging works here$' "$TMP/out" "no verdict"
for check in kernel userfaultfd features library io_uring 'memory lock' rdma 'memory cgroup' \
	'huge pages' statistics cpu-latency; do
	have "^(ok|warn) +$check " "$TMP/out" "nothing about $check"
done
for transport in $TRANSPORTS; do
	examine 0 --transport "$transport" --donor "$(donor_of "$transport")"
	have "^ok +donor .* over $transport, 4 KiB in " "$TMP/out" "nothing measured over $transport"
done
LIBPAGER_DONORS=unix:$DONOR_SOCK examine 0
have '^ok +donor +unix:' "$TMP/out" "the variable is not read"

examine 0 --json --donor "$DONOR"
perl -MJSON::PP -e '
	my $all = decode_json(join "", <STDIN>);
	die "works\n" unless $all->{works};
	my ($donor) = grep { $_->{name} eq "donor" } @{$all->{checks}};
	die "status\n" unless $donor->{status} eq "ok";
	die "slabs\n" unless $donor->{slabs} == 2 && $donor->{slab_bytes} == (32 << 20);
	die "free\n" unless $donor->{free_bytes} == $donor->{slabs_free} * $donor->{slab_bytes};
	die "transport\n" unless $donor->{transport} eq "shm";
	die "time\n" unless $donor->{round_trip_p50_ns} > 0;
	die "order\n" unless $donor->{round_trip_p99_ns} >= $donor->{round_trip_p50_ns};
	my ($wake) = grep { $_->{name} eq "cpu-latency" } @{$all->{checks}};
	die "wake\n" unless $wake->{text} =~ /not measured/ || $wake->{wake_p50_ns} > 0;
' <"$TMP/out" || fail "the JSON is not as the manual says"

# It gives back what it leased. (The donor empties a slab, and only then it is free again.)
finds_all_free() {
	examine 0 --donor "$DONOR"
	grep -q '64.0 MiB free' "$TMP/out"
}
for _ in 1 2 3; do
	wait_for 5 finds_all_free || fail "slabs are missing after a visit"
done

# ---- some work, some do not ----

examine 0 --donor 127.0.0.1:1 --donor "$DONOR"
have '^warn +donor +127.0.0.1:1: .*refused; fix: ' "$TMP/out" "no word of the one that is away"
have '^paging works here$' "$TMP/out" "one donor is enough"

# ---- none works ----

examine 1 --donor 127.0.0.1:1
each_line_is_a_verdict
have '^bad +donor +127.0.0.1:1: .*refused; fix: ' "$TMP/out" "no fix"
have '^paging does not work here: 1 to fix$' "$TMP/out" "no verdict"
examine 1 --donor unix:/nowhere/socket
have '^bad +donor .*no such file' "$TMP/out" "no cause"
examine 1 --transport tcp --donor "unix:$DONOR_SOCK"
have 'fix: use --transport auto' "$TMP/out" "no fix for the transport"

perl -MIO::Socket::INET -e '
	my $door = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1") or die;
	print $door->sockport, "\n";
	close STDOUT;
	while (my $caller = $door->accept) {
		print $caller "HTTP/1.1 400 Bad Request\r\n\r\n";
		close $caller;
	}' >"$TMP/port" &
other=$!
wait_for 10 test -s "$TMP/port" || fail "no server"
examine 1 --donor "127.0.0.1:$(cat "$TMP/port")"
have '^bad +donor .*; fix: ' "$TMP/out" "something else that listens passes for a donor"
kill $other

# Both slabs are somebody else's.
"$PROGS/prog_donor_client" "$DONOR" hello lease 2 sleep 8000 >"$TMP/holder" &
holder=$!
wait_for 10 grep -q '^granted 2' "$TMP/holder" || fail "no leases: $(cat "$TMP/holder")"
examine 1 --donor "$DONOR"
have '^bad +donor .*full: all of its 2 slabs are lent; fix: ' "$TMP/out" "does not say full"
kill $holder

# ---- this host ----

if command -v setpriv >/dev/null &&
	setpriv --reuid 65534 --regid 65534 --clear-groups test ! -r /dev/userfaultfd &&
	[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ]; then
	cp "$PAGERCTL" "$LIBRARY" "$TMP/"
	STATUS=0
	setpriv --reuid 65534 --regid 65534 --clear-groups "$TMP/pagerctl" doctor >"$TMP/out" ||
		STATUS=$?
	[ $STATUS -eq 1 ] || fail "status $STATUS where userfaultfd is not permitted"
	have '^bad +userfaultfd .*fix: .*/dev/userfaultfd' "$TMP/out" "no fix for userfaultfd"
fi

# ---- nonsense ----

for wrong in '--donor' '--donor=a:b' '--donors=/nowhere' '--transport=pigeon' '--frob' 'word'; do
	examine 2 "$wrong"
	[ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "not one line for $wrong"
done
stop_donor
