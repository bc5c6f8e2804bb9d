# shellcheck shell=bash
#
# What setup.sh, verify.sh and teardown.sh have in common.

RXE_WAIT_S=5 # guess: until a device that was just made is active; it takes milliseconds

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

needs_root() {
	[ "$(id -u)" -eq 0 ] || fail "needs root"
}

needs_commands() {
	local name

	for name in "$@"; do
		command -v "$name" >/dev/null || fail "no $name: run scripts/install-deps.sh rxe"
	done
}

rxe_default_iface() {
	ip route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1
}

# rxe_devices [IFACE]: lines "device iface" of rxe's own devices.
rxe_devices() {
	local dir device iface

	for dir in /sys/class/infiniband/*; do
		device=${dir##*/}
		# Only a software device has a parent, and says on what it is.
		iface=$(cat "$dir/parent" 2>/dev/null) || continue
		[ -n "${1:-}" ] && [ "$iface" != "$1" ] || echo "$device $iface"
	done
}

rxe_device() {
	rxe_devices "$1" | sed -n '1s/ .*//p'
}

rxe_wait_active() {
	local looks device

	device=$(rxe_device "$1")
	for ((looks = 0; looks < RXE_WAIT_S * 10; looks++)); do
		! grep -q ACTIVE "/sys/class/infiniband/$device/ports/1/state" || return 0
		sleep 0.1
	done
	return 1
}
