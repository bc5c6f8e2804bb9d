# shellcheck shell=bash
#
# What a program that swaps may keep: as much of its data as libpager may, and what else the program has
# (its text, stacks, page tables), which libpager's budget does not contain. To be sourced after
# scripts/swap-lib.sh by who has WORKLOAD, bytes and tmp, a directory.

# shellcheck disable=SC2154 # those

other=0 # memory of the program besides its data

limit_measure_other() {
	LIMIT_PEAK=$tmp/peak limit_run 0 "$WORKLOAD" --case random-read --bytes "$bytes" --ops 1 \
		--warm 0 >/dev/null || return 1
	other=$(($(cat "$tmp/peak") - bytes))
	# A kernel that does not say (cgroup v2 before Linux 5.19): text, stacks, page tables.
	[ "$other" -gt 0 ] || other=$(((4 << 20) + bytes / 512))
}

limit_of_half() {
	echo $((bytes / 2 + other))
}
