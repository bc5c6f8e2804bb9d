#!/bin/bash
# A program may do with descriptors what it likes: close all there are, put its own in the place of
# any, have no standard error. No page is wrong then, it goes on paging, and nothing of libpager's
# is ever in the program's files.
# limit: 120
. "$ROOT/tests/integration/lib_bad.sh"

FIRST=${TRANSPORTS%% *}
MIB=$(sized 24 64 64)

# loses WAY TRANSPORT
loses() {
	local dir=$TMP/$1.$2 status=0

	note "$1, $2"
	mkdir "$dir"
	under 8M "$2" "$PROGS/prog_descriptors" "$1" "$MIB" 2 "$dir" || status=$?
	[ $status -eq 0 ] ||
		fail "status $status: $(tail -n 3 "$dir/result"); engine: $(cat "$TMP/engine.log")"
	have '^right$' "$dir/result" "no result"
	really_paged
}

# on_stderr COMMAND...: paged, and what is said goes to standard error.
on_stderr() {
	env LD_PRELOAD="$LIBRARY" LIBPAGER_LOCAL=8M LIBPAGER_LOG=info \
		LIBPAGER_TRANSPORT="$FIRST" LIBPAGER_DONORS="$(donor_of "$FIRST")" "$@"
}

files_are_right() {
	local file

	for file in "$1"/file*; do
		[ "$(cat "$file")" = "content of file ${file##*/file}" ] ||
			fail "${file##*/}: $(head -c 300 "$file")"
	done
}

without_stderr() {
	note "no standard error from the start"
	mkdir "$TMP/without"
	on_stderr "$PROGS/prog_descriptors" none "$MIB" 2 "$TMP/without" 2>&- ||
		fail "status $?: $(cat "$TMP/without/result")"
	files_are_right "$TMP/without"
}

# threads_with FILE PID: the names of those that have it open.
threads_with() {
	local task

	for task in "/proc/$2/task/"*; do
		find "$task/fd" -lname "$1" 2>/dev/null | grep -q . && cat "$task/comm"
	done
}

# Not even for the moment that a log file is open: a number that is about to be opened cannot be
# given to dup2(2).
keeps_out_of_the_programs_table() {
	note "a log file"
	: >"$TMP/ours"
	start_program "$FIRST" "$PROGS/prog_pattern" "$(sized 36 48 48)" 2 2 9<"$TMP/ours"
	threads_with "$TMP/ours" "$PROGRAM_PID" >"$TMP/threads"
	have '^prog_pattern$' "$TMP/threads" "the program has not its own file: the test is wrong"
	! grep libpager "$TMP/threads" >&2 || fail "a thread of libpager's is in the program's table"
	wait "$PROGRAM_PID" || fail "status $?: $(cat "$TMP/engine.log" "$TMP/err")"
}

# A line is due when the donor goes.
has_files_in_place_of_stderr() {
	local dir=$TMP/$1.end pid status=0

	note "$1, and its donor goes"
	mkdir "$dir"
	on_stderr "$PROGS/prog_descriptors" "$1" "$MIB" 1000 "$dir" 2>"$TMP/err" &
	pid=$!
	wait_for 10 grep -qs begun "$dir/result" || fail "it does not begin: $(cat "$TMP/err")"
	kill_donor "$DONOR_PID"
	wait $pid 2>/dev/null || status=$?
	[ $status -eq $BUS ] || fail "status $status: $(cat "$dir/result")"
	files_are_right "$dir"
	have "connected over $FIRST" "$TMP/err" "no lines while standard error was there"
}

start_donor 640M
for way in none close close_range closefrom raw list dup2; do
	loses $way "$FIRST"
done
for transport in ${TRANSPORTS#"$FIRST"}; do
	for way in close dup2; do
		loses $way "$transport"
	done
done
without_stderr
keeps_out_of_the_programs_table
has_files_in_place_of_stderr none
have '^libpager: donor .* gone, [1-9][0-9]* pages lost' "$TMP/err" "no line says so"
start_donor 640M
has_files_in_place_of_stderr close
! grep -q ' gone, ' "$TMP/err" || fail "a line in a file that is standard error no more"
