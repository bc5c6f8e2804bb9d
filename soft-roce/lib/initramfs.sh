# shellcheck shell=bash
#
# The first file system of a guest: a static busybox, lib/early-init, and the modules with which the
# host's files are reached. To be sourced by soft-roce/guest, which has fail() and LIB.
#
#	initramfs_get       sets INITRAMFS, for the kernel of kernel_get; makes it if there is none yet

# What is needed before the root is there, and what is needed in any case, because it loads faster from
# here. What a kernel has built in is no module and left out.
INITRAMFS_MODULES=(virtio_pci 9pnet_virtio 9p overlay virtio_console virtio_net rdma_rxe ib_uverbs
	rdma_ucm)
# Only where there is one (see setup.sh).
INITRAMFS_OPTIONAL=(crc32_generic)

_initramfs_busybox() {
	local path

	path=$(command -v busybox) || fail "no busybox: install busybox-static (Fedora: busybox)"
	# A dynamic one would need a loader and libraries that are not there yet.
	! ldd "$path" 2>/dev/null | grep -q '=>' || fail "$path is not static: install busybox-static"
	echo "$path"
}

# Copies a module, decompressed: busybox does not know the formats.
_initramfs_copy_module() {
	case $1 in
	*.xz) xz -dc "$1" ;;
	*.zst) zstd -dcq "$1" ;;
	*.gz) gzip -dc "$1" ;;
	*) cat "$1" ;;
	esac >"$2"
}

_initramfs_needs() {
	modprobe -d "$KERNEL" -S "$KERNEL_VERSION" --show-depends "$1"
}

# Copies the modules with all they need, and writes the order in which they are to be loaded.
_initramfs_add_modules() {
	local dir=$1 module how path name seen=' '

	for module in "${INITRAMFS_MODULES[@]}"; do
		_initramfs_needs "$module" ||
			fail "kernel $KERNEL_VERSION has no $module: choose another with --kernel"
	done >"$dir/order" || exit
	for module in "${INITRAMFS_OPTIONAL[@]}"; do
		_initramfs_needs "$module" 2>/dev/null
	done >>"$dir/order"
	while read -r how path _; do
		[ "$how" = insmod ] || continue
		name=${path##*/}
		name=${name%%.ko*}.ko
		[[ $seen != *" $name "* ]] || continue
		seen+="$name "
		_initramfs_copy_module "$path" "$dir/modules/$name" || fail "cannot unpack $path"
		echo "$name"
	done <"$dir/order" >"$dir/modules/order"
	rm "$dir/order"
}

_initramfs_make() {
	local dir=$1 busybox

	busybox=$(_initramfs_busybox) || exit
	mkdir -p "$dir"/{bin,dev,proc,sys,modules,lower,upper,root}
	cp "$busybox" "$dir/bin/busybox"
	cp "$LIB/early-init" "$dir/init"
	chmod 755 "$dir/init"
	_initramfs_add_modules "$dir"
	(cd "$dir" && find . | cpio -o -H newc --quiet)
}

# Named for what it is made from, so that it is made again when that changes.
initramfs_get() {
	local key dir

	key=$(cat "$LIB/early-init" "$LIB/initramfs.sh" | sha256sum | cut -c1-12)
	INITRAMFS=$KERNEL/initramfs-$key
	[ ! -s "$INITRAMFS" ] || return 0
	dir=$(mktemp -d "$CACHE/initramfs.XXXXXX")
	(_initramfs_make "$dir/root" >"$dir/image") || { rm -rf "$dir" && exit 125; }
	mv "$dir/image" "$INITRAMFS"
	rm -rf "$dir"
}
