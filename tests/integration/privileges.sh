#!/bin/bash
# A program that begins as root and becomes somebody else, as servers do, keeps its memory and its
# bytes, before and after it is paged.
# limit: 60
. "$ROOT/tests/integration/lib.sh"

need_root
need setpriv perl

# shellcheck disable=SC2016 # perl's, not ours
BECOMES='use POSIX; my @x = map { sprintf("%040d", $_) } 1 .. 400000;
	POSIX::setgid(65534) == 0 or die; POSIX::setuid(65534) == 0 or die;
	print "user $<\n"; my $n = 0; $n += $_ for @x; print "$n\n";
	@x = map { sprintf("%041d", $_) } @x; $n = 0; $n += $_ for @x; print "$n\n"'

start_donor 512M
for transport in shm tcp; do
	perl -e "$BECOMES" >"$TMP/plain.out" || fail "plain: status $?"
	under 16M $transport perl -e "$BECOMES" >"$TMP/paged.out" || fail "status $?"
	same_output "$TMP/plain.out" "$TMP/paged.out"
	really_paged
	under 16M $transport setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/id -u \
		>"$TMP/out" || fail "setpriv: status $?"
	[ "$(cat "$TMP/out")" = 65534 ] || fail "setpriv did not become the user: $(cat "$TMP/out")"
done
stop_donor
