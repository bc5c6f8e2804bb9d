#!/bin/bash
# A donor that holds pages is killed, or stops: the program ends at once with one line that names the
# donor and how many pages are lost, by SIGBUS, and never with a wrong byte.
# limit: 300
. "$ROOT/tests/integration/lib_bad.sh"

# shellcheck disable=SC2016 # perl's, not ours
SLEEPER='my @x = map { sprintf("%040d", $_) } 1 .. shift; sleep 60'
COUNT=$(sized 350000 1000000 1000000)
PATTERN=("$PROGS/prog_pattern" "$(sized 36 96 96)" 2 60)
need perl

for transport in $TRANSPORTS; do
	for moment in 0 0.3 0.9; do
		note "killed, $transport, $moment s later"
		start_donor 256M
		start_program "$transport" "${PATTERN[@]}"
		sleep $moment
		kill -KILL "$DONOR_PID"
		ends_by_bus "$(donor_of "$transport")"
	done

	note "ends in order, $transport"
	start_donor 256M
	start_program "$transport" "${PATTERN[@]}"
	kill -TERM "$DONOR_PID"
	ends_by_bus "$(donor_of "$transport")"

	note "killed under a program that sleeps, $transport"
	start_donor 256M
	start_program "$transport" perl -e "$SLEEPER" "$COUNT"
	kill -KILL "$DONOR_PID"
	ends_by_bus "$(donor_of "$transport")"
done

note "one of two"
start_donor 128M
victim=$DONOR_PID
first=$(donor_of "$transport")
start_donor 128M
DONORS="$first $(donor_of "$transport")"
start_program "$transport" "${PATTERN[@]}"
kill -KILL "$victim"
ends_by_bus "$first"
stop_donor
