# shellcheck shell=bash
#
# One QEMU a guest. To be sourced by soft-roce/guest, which has fail(), RUN (the directory of this run),
# KERNEL, INITRAMFS and the options.
#
#	qemu_start NAME     starts guest NAME; its process is ${qemu_pid[NAME]}
#
# In $RUN/NAME, of which guest/ is what the guest sees:
#	guest/...                  see guest-main
#	console, errors            what its kernel and QEMU had to say
#	control.in, control.out    its control port     } pipes
#	qmp.in, qmp.out            QEMU's own           }

# shellcheck disable=SC2034,SC2154 # names that soft-roce/guest gives or takes

declare -A qemu_pid=()

# Without a console that scrolls by, self-tests, and defences against neighbours in the same kernel.
# A triple fault is the reset that needs no firmware, and QEMU ends with it. Linux distrusts a TSC that
# is emulated, and the other clocks cost a trip out of the guest each time they are read.
QEMU_APPEND="console=ttyS0 quiet loglevel=4 panic=-1 reboot=t cryptomgr.notests mitigations=off nokaslr
tsc=reliable no_timer_check no5lvl audit=0 random.trust_cpu=on init_on_alloc=0
sysctl.vm.panic_on_oom=1 systemd.unified_cgroup_hierarchy=1"

# bound_to_us COMMAND... &: ends with this process, also when that is killed. Replaces the subshell it is
# called in, which would otherwise be the parent, and would live on.
bound_to_us() {
	exec setpriv --pdeathsig KILL -- "$@"
}

_qemu_accel() {
	case $1 in
	kvm) echo '-accel kvm -cpu host' ;;
	*) echo '-accel tcg,thread=multi,tb-size=512 -cpu max' ;;
	esac
}

# The link of two guests is a pair of datagram sockets: each is a packet, and either end may be away.
_qemu_link() {
	local here=$1 there=b

	[ "$here" = a ] || there=a
	if [ "$hosts" = 1 ]; then
		echo user,id=link,restrict=on,ipv6=off
	else
		echo "dgram,id=link,local.type=unix,local.path=$RUN/$here.link,remote.type=unix,remote.path=$RUN/$there.link"
	fi
}

# _qemu_share TAG DIR OPTIONS: sets the options of a directory that the guest can mount.
_qemu_share() {
	qemu_args+=(-fsdev "local,id=$1,path=${2//,/,,},security_model=none,multidevs=remap$3"
		-device "virtio-9p-pci,fsdev=$1,mount_tag=$1,ioeventfd=off")
}

_qemu_pipe() {
	mkfifo "$1.in" "$1.out"
	qemu_args+=(-chardev "pipe,id=${1##*/},path=${1//,/,,}")
}

# Sets qemu_args. Without KVM an ioeventfd is no short cut but a detour: the thread that runs the guest
# wakes another one to do what it could do at once, and each is one more that QEMU waits for.
_qemu_command() {
	local name=$1 dir=$RUN/$1 mac=52:54:00:77:00:01 i

	[ "$name" = a ] || mac=52:54:00:77:00:02
	# shellcheck disable=SC2054,SC2207 # words are meant, and the commas are QEMU's
	qemu_args=($(_qemu_accel "$accel") -M q35 -nodefaults -no-user-config -display none -no-reboot
		-name "soft-roce-$name" -m "$memory" -smp "$cpus" -kernel "$KERNEL/vmlinux"
		-initrd "$INITRAMFS" -append "${QEMU_APPEND//$'\n'/ }"
		-serial "file:${dir//,/,,}/console"
		-netdev "$(_qemu_link "$name")"
		-device "virtio-net-pci,id=nic,netdev=link,mac=$mac,romfile=,ioeventfd=off"
		-device virtio-serial-pci,max_ports=2,ioeventfd=off)
	_qemu_pipe "$dir/qmp"
	_qemu_pipe "$dir/control"
	# shellcheck disable=SC2054
	qemu_args+=(-mon chardev=qmp,mode=control
		-device virtserialport,chardev=control,name=control)
	_qemu_share root / ,readonly=on
	_qemu_share modules "$KERNEL/lib/modules/$KERNEL_VERSION" ,readonly=on
	_qemu_share run "$dir/guest" ''
	for i in "${!shares[@]}"; do
		_qemu_share "share$i" "${shares[i]}" ''
	done
}

qemu_start() {
	local name=$1 dir=$RUN/$1

	_qemu_command "$name"
	bound_to_us qemu-system-x86_64 "${qemu_args[@]}" </dev/null >"$dir/errors" 2>&1 &
	qemu_pid[$name]=$!
}

# ---- KVM ----

# Whether KVM works is known when something has run in it: there are hosts where /dev/kvm can be opened
# and no guest boots, or its kernel spins and heeds no signal but KILL. Tried once a boot of this host.
qemu_kvm_works() {
	local seen

	[ -w /dev/kvm ] || return 1
	seen=$CACHE/kvm-$(cat /proc/sys/kernel/random/boot_id)
	if [ ! -e "$seen" ]; then
		rm -f "$CACHE"/kvm-*
		if "$LIB/../guest" --kernel "$kernel" --accel kvm --timeout 20 -- true >/dev/null 2>&1; then
			echo works >"$seen"
		else
			echo fails >"$seen"
		fi
	fi
	[ "$(cat "$seen")" = works ]
}
