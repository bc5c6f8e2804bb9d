#!/bin/bash
# A donor that holds pages is killed, or stops: the program ends at once with one line that names the
# donor and how many pages are lost, by SIGBUS, and never with a wrong byte.
# limit: 300
. "$ROOT/tests/integration/lib_bad.sh"

# shellcheck disable=SC2016 # perl's, not ours
SLEEPER='my @x = map { sprintf("%040d", $_) } 1 .. 1000000; sleep 60'
need perl

for transport in shm tcp; do
	for moment in 0 0.3 0.9; do
		note "killed, $transport, $moment s later"
		start_donor 256M
		start_program $transport "$PROGS/prog_pattern" 96 2 60
		sleep $moment
		kill -KILL "$DONOR_PID"
		ends_by_bus "$(donor_of $transport)"
	done

	note "ends in order, $transport"
	start_donor 256M
	start_program $transport "$PROGS/prog_pattern" 96 2 60
	kill -TERM "$DONOR_PID"
	ends_by_bus "$(donor_of $transport)"

	note "killed under a program that sleeps, $transport"
	start_donor 256M
	start_program $transport perl -e "$SLEEPER"
	kill -KILL "$DONOR_PID"
	ends_by_bus "$(donor_of $transport)"
done

note "one of two"
start_donor 128M
victim=$DONOR_PID
first=127.0.0.1:$DONOR_PORT
start_donor 128M
DONORS="$first 127.0.0.1:$DONOR_PORT"
start_program tcp "$PROGS/prog_pattern" 96 2 60
kill -KILL "$victim"
ends_by_bus "$first"
stop_donor
