# shellcheck shell=bash
#
# The kernel's own swap, for comparisons: a swap device on zram, in a file or on an NBD server, and a
# memory limit to push a program into it. To be sourced by bash; needs root. Works with cgroup v1 and v2.
#
#	. scripts/swap-lib.sh
#	trap swap_cleanup EXIT
#	swap_can zram || exit                 # prints why not
#	swap_zram_on 1G
#	limit_run $((256 << 20)) ./app args
#	swap_all_off
#
# Swap belongs to the whole machine: each swap_*_on holds a lock until swap_all_off, so that two
# comparisons at a time wait for each other instead of mixing their devices. All functions that switch
# something on are to be called in the shell that has the trap, not in $(...).
# Whatever is undone here was made here: swap that the machine had before is left alone.

SWAP_LOCK=${SWAP_LOCK:-/run/libpager-swap.lock}
# The highest that swapon(8) knows: ours is filled before any swap that the machine has already.
SWAP_PRIORITY=32767
SWAP_CGROUPS=${SWAP_CGROUPS:-/sys/fs/cgroup}

_swap_lock_fd=
_swap_zram=       # device in use, like /dev/zram1
_swap_zram_added= # its number, if hot_add made it
_swap_module=     # zram, if we loaded it
_swap_file=
_swap_nbd=        # device in use, like /dev/nbd0
_swap_nbd_module= # nbd, if we loaded it

_swap_say() {
	echo "swap-lib: $*" >&2
}

_swap_lock() {
	[ -z "$_swap_lock_fd" ] || return 0
	exec {_swap_lock_fd}>"$SWAP_LOCK" || return 1
	flock -n "$_swap_lock_fd" && return 0
	_swap_say "waiting for another comparison that uses swap"
	flock -w 1800 "$_swap_lock_fd"
}

_swap_unlock() {
	[ -n "$_swap_lock_fd" ] || return 0
	# Explicitly: a daemon started meanwhile has inherited the descriptor and would keep the lock.
	flock -u "$_swap_lock_fd"
	exec {_swap_lock_fd}>&-
	_swap_lock_fd=
}

# ---- what can be done here ----

# swap_can zram | swap_can file DIR | swap_can nbd | swap_can limit: true, or false with the reason on stdout.
swap_can() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "not root"
		return 1
	fi
	case $1 in
	zram) _swap_can_zram ;;
	file) _swap_can_file "${2:-.}" ;;
	nbd) _swap_can_nbd ;;
	limit) [ -n "$(_limit_kind)" ] || { echo "no memory controller to set a limit with" && return 1; } ;;
	*) echo "nothing known of $1" && return 1 ;;
	esac
}

_swap_can_zram() {
	[ -e /sys/class/zram-control/hot_add ] && return 0
	[ -n "$(_zram_unused)" ] && return 0
	modprobe -n -q zram 2>/dev/null && return 0
	echo "no zram in this kernel"
	return 1
}

_swap_can_file() {
	local type

	type=$(stat -f -c %T "$1" 2>/dev/null) || { echo "no directory $1" && return 1; }
	case $type in
	tmpfs | ramfs | overlayfs | nfs* | fuse* | zfs | v9fs)
		echo "$1 is on $type, which cannot hold a swap file"
		return 1
		;;
	esac
}

_swap_can_nbd() {
	command -v nbd-client >/dev/null || { echo "no nbd-client" && return 1; }
	[ -e /sys/module/nbd ] || modprobe -n -q nbd 2>/dev/null || { echo "no nbd in this kernel" && return 1; }
}

# ---- zram ----

# A device that nobody has given a size yet.
_zram_unused() {
	local size

	for size in /sys/block/zram*/disksize; do
		if [ "$(cat "$size" 2>/dev/null)" = 0 ]; then
			size=${size%/disksize}
			echo "/dev/${size##*/}"
			return
		fi
	done
}

_zram_obtain() {
	if [ ! -d /sys/class/zram-control ] && [ -z "$(_zram_unused)" ]; then
		modprobe -q zram && _swap_module=zram
	fi
	if [ -r /sys/class/zram-control/hot_add ] &&
		_swap_zram_added=$(cat /sys/class/zram-control/hot_add 2>/dev/null); then
		_swap_zram=/dev/zram$_swap_zram_added
		_wait_for_device "$_swap_zram"
		return
	fi
	_swap_zram=$(_zram_unused)
	[ -n "$_swap_zram" ]
}

# devtmpfs is instant, udev is not.
_wait_for_device() {
	local try

	for try in {1..50}; do
		[ -b "$1" ] && return
		sleep 0.02
	done
	_swap_say "$1 did not appear after $try looks"
	return 1
}

# swap_zram_on SIZE: swap of that size ("512M" or bytes) in compressed memory.
swap_zram_on() {
	local size

	size=$(numfmt --from=iec "$1") || return 1
	_swap_lock || return 1
	_zram_obtain || { _swap_say "no zram device to be had" && swap_all_off && return 1; }
	echo "$size" >"/sys/block/${_swap_zram#/dev/}/disksize" &&
		mkswap -q "$_swap_zram" >/dev/null &&
		swapon -p "$SWAP_PRIORITY" "$_swap_zram" && return 0
	_swap_say "$_swap_zram cannot be swapped to"
	swap_all_off
	return 1
}

_swap_zram_off() {
	[ -n "$_swap_zram" ] || return 0
	_swap_off "$_swap_zram"
	echo 1 >"/sys/block/${_swap_zram#/dev/}/reset"
	[ -z "$_swap_zram_added" ] || echo "$_swap_zram_added" >/sys/class/zram-control/hot_remove
	[ -z "$_swap_module" ] || modprobe -q -r "$_swap_module"
	_swap_zram=''
	_swap_zram_added=''
	_swap_module=''
}

# ---- file ----

# swap_file_on DIR SIZE: swap of that size in a file that is made in DIR and has no name others know.
swap_file_on() {
	local why size

	why=$(swap_can file "$1") || { _swap_say "$why" && return 1; }
	size=$(numfmt --from=iec "$2") || return 1
	_swap_lock || return 1
	_swap_file=$(mktemp "$(realpath "$1")/libpager-swap.XXXXXX") || { swap_all_off && return 1; }
	chmod 600 "$_swap_file"
	_file_fill "$size" && mkswap -q "$_swap_file" >/dev/null &&
		swapon -p "$SWAP_PRIORITY" "$_swap_file" && return 0
	_swap_say "$_swap_file cannot be swapped to"
	swap_all_off
	return 1
}

# Holes are not allowed in it. Where fallocate(2) is missing, or leaves what swapon refuses: zeros.
_file_fill() {
	chattr +C "$_swap_file" 2>/dev/null || true # btrfs: no copy on write
	fallocate -l "$1" "$_swap_file" 2>/dev/null ||
		dd if=/dev/zero of="$_swap_file" bs=1M count=$((($1 + 1048575) >> 20)) status=none
}

_swap_file_off() {
	[ -n "$_swap_file" ] || return 0
	_swap_off "$_swap_file"
	rm -f "$_swap_file"
	_swap_file=
}

# ---- nbd ----

_nbd_unused() {
	local dir

	for dir in /sys/block/nbd*; do
		[ ! -d "$dir" ] || [ -e "$dir/pid" ] || { echo "/dev/${dir##*/}" && return; }
	done
}

# swap_nbd_on HOST: swap on the export of the NBD server there, all of it, whatever it holds.
swap_nbd_on() {
	local device

	_swap_lock || return 1
	[ -e /sys/module/nbd ] || { modprobe -q nbd && _swap_nbd_module=nbd; }
	device=$(_nbd_unused)
	[ -n "$device" ] || { _swap_say "no unused nbd device" && swap_all_off && return 1; }
	nbd-client "$1" "$device" -swap >/dev/null && _swap_nbd=$device &&
		mkswap -q "$device" >/dev/null && swapon -p "$SWAP_PRIORITY" "$device" && return 0
	_swap_say "cannot swap to $1 by nbd"
	swap_all_off
	return 1
}

_swap_nbd_off() {
	if [ -n "$_swap_nbd" ]; then
		_swap_off "$_swap_nbd"
		nbd-client -d "$_swap_nbd" >/dev/null
	fi
	[ -z "$_swap_nbd_module" ] || modprobe -q -r "$_swap_nbd_module"
	_swap_nbd=''
	_swap_nbd_module=''
}

_swap_off() {
	! grep -q "^$1 " /proc/swaps || swapoff "$1"
}

# Undoes each swap_*_on, and lets the next comparison in.
swap_all_off() {
	_swap_zram_off
	_swap_file_off
	_swap_nbd_off
	_swap_unlock
}

# ---- memory limit ----

# "v1", "v2", or nothing if there is no memory controller that we may use.
_limit_kind() {
	if [ -w "$SWAP_CGROUPS/memory/memory.limit_in_bytes" ]; then
		echo v1
	elif grep -qw memory "$SWAP_CGROUPS/cgroup.controllers" 2>/dev/null && _limit_enable_v2; then
		echo v2
	fi
}

# Children have memory limits only if the parent says so; inside a container this may be refused.
_limit_enable_v2() {
	grep -qw memory "$SWAP_CGROUPS/cgroup.subtree_control" ||
		{ echo +memory >"$SWAP_CGROUPS/cgroup.subtree_control"; } 2>/dev/null
}

_limit_root() {
	case $(_limit_kind) in
	v1) echo "$SWAP_CGROUPS/memory" ;;
	v2) echo "$SWAP_CGROUPS" ;;
	*) return 1 ;;
	esac
}

# $1 group, $2 bytes. In v1 swap is bounded apart from memory and unbounded by default; so in v2.
_limit_set() {
	if [ -e "$1/memory.limit_in_bytes" ]; then
		echo "$2" >"$1/memory.limit_in_bytes"
	else
		echo "$2" >"$1/memory.max"
	fi
}

# Most memory the group ever had. v2 has it from Linux 5.19 on.
_limit_peak() {
	cat "$1/memory.max_usage_in_bytes" 2>/dev/null || cat "$1/memory.peak" 2>/dev/null || echo 0
}

# In a small group the kernel may kill the program although there is swap to spare: whether to age pages
# it decides by statistics of the group that may be two seconds old, and meanwhile all it may evict is
# gone (Linux 6.18, cgroup v1, limit of 16 MiB: 3 of 4 runs with two threads; of 32 and 64 MiB none of 8).
# A look at memory.stat brings them up to date. Costs one percent of a CPU, so only where it is needed.
_LIMIT_SMALL=$((48 << 20))

_limit_watch() {
	local pause _

	exec {pause}<> <(:)
	while kill -0 "$$" 2>/dev/null && { mapfile -t _ <"$1/memory.stat"; } 2>/dev/null; do
		read -rt 0.02 -u "$pause" _
	done
}

# limit_run BYTES CMD ARG...: runs the command where it and its children have at most so much memory
# in RAM ("256M" or bytes; 0 for no limit). The exit status is the command's. Afterwards the most
# that it had is in the file named by LIMIT_PEAK, if that is set.
limit_run() {
	local bytes group status watcher=

	bytes=$(numfmt --from=iec "$1") || return 1
	shift
	group=$(_limit_root) || { _swap_say "no memory controller to set a limit with" && return 1; }
	group=$group/libpager-$$-$BASHPID-$RANDOM
	mkdir "$group" || return 1
	[ "$bytes" -eq 0 ] || _limit_set "$group" "$bytes" || { rmdir "$group" && return 1; }
	if [ "$bytes" -gt 0 ] && [ "$bytes" -lt "$_LIMIT_SMALL" ]; then
		_limit_watch "$group" </dev/null >/dev/null 2>&1 &
		watcher=$!
	fi
	status=0
	(
		echo "$BASHPID" >"$group/cgroup.procs" && exec "$@"
	) || status=$?
	[ -z "$watcher" ] || { kill "$watcher" && wait "$watcher"; } 2>/dev/null || true
	[ -z "${LIMIT_PEAK:-}" ] || _limit_peak "$group" >"$LIMIT_PEAK"
	_limit_end "$group"
	return "$status"
}

# Ends what is left in the group and removes it.
_limit_end() {
	local try

	for try in {1..100}; do
		[ -d "$1" ] || return 0
		{ xargs -r kill -KILL <"$1/cgroup.procs"; } 2>/dev/null || true
		rmdir "$1" 2>/dev/null && return
		sleep 0.05
	done
	_swap_say "$1 cannot be removed after $try tries"
	return 1
}

# ---- the end ----

# For a trap: programs under a limit end first, else swapoff would have to read all they have back.
swap_cleanup() {
	local root group

	if root=$(_limit_root); then
		for group in "$root/libpager-$$-"*; do
			[ ! -d "$group" ] || _limit_end "$group" || true
		done
	fi
	swap_all_off
}
