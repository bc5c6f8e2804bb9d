# shellcheck shell=bash
#
# Kernels for the guest: found, downloaded, unpacked, and kept. To be sourced by soft-roce/guest, which
# has fail(), and by who wants to know where they are.
#
#	kernel_get NAME     sets KERNEL, the directory of that kernel:
#
#	$CACHE/kernels/VERSION/
#	    vmlinux             what QEMU boots: unpacked, because decompressing is slow under emulation
#	    lib/modules/...     all of its modules that a guest could want
#	    initramfs-*         see initramfs.sh
#	$CACHE/kernels/stable, backport    links: what these names meant when they were first asked for.
#	                                   Remove a link to look for a newer one.
#
# Nothing is installed on the host, and its list of packages stays as it is: apt gets a configuration
# of its own, made from the mirrors and keys of the host's.

# shellcheck disable=SC2034,SC2154 # names that soft-roce/guest gives or takes

CACHE=${LIBPAGER_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/libpager}

# Not in a guest without a screen, and together half of the size.
KERNEL_LEAVE_OUT=(--exclude='*/drivers/gpu' --exclude='*/sound' --exclude='*/drivers/media'
	--exclude='*/drivers/net/wireless' --exclude='*/usr/share' --exclude='*/boot/System.map*')

# ---- which package ----

# The value of a line of /etc/os-release.
_kernel_os() {
	# shellcheck source=/dev/null
	(. /etc/os-release && echo "${!1:-}")
}

# Prints "suite-ending meta-package" of a name: where this distribution has it.
_kernel_source() {
	local id

	id=$(_kernel_os ID)
	case $id-$1 in
	debian-stable) echo "release linux-image-$(dpkg --print-architecture)" ;;
	debian-backport) echo "backports linux-image-$(dpkg --print-architecture)" ;;
	ubuntu-stable) echo "release linux-image-generic" ;;
	ubuntu-backport) echo "release linux-image-generic-hwe-$(_kernel_os VERSION_ID)" ;;
	*) fail "no kernel is known by the name $1 on '$id': needs Debian or Ubuntu, or --kernel FILE.deb, or --kernel VERSION of a kernel that is installed here" ;;
	esac
}

# _kernel_sources KIND: the lines of a sources.list. release: this release as the host has it, with
# its updates. backports: that alone, so that apt need not be told to prefer it.
_kernel_sources() {
	local kind=$1 codename keyring option='' uri suite component

	codename=$(_kernel_os VERSION_CODENAME)
	keyring=/usr/share/keyrings/$(_kernel_os ID)-archive-keyring.gpg
	[ ! -e "$keyring" ] || option="[signed-by=$keyring] "
	# shellcheck disable=SC2016 # apt replaces these
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		sort -u | while read -r uri suite component; do
		case $kind-$suite in
		"release-$codename" | "release-$codename-updates" | "release-$codename-security")
			echo "deb $option$uri $suite $component"
			;;
		"backports-$codename")
			[ "$component" != main ] || echo "deb $option$uri $codename-backports main"
			;;
		esac
	done
}

# ---- apt, with a configuration of its own ----

# _kernel_apt KIND TOOL ARG...
_kernel_apt() {
	local dir=$CACHE/apt/$1 tool=$2

	shift 2
	"$tool" -q -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o "Dir::State::lists=$dir/lists" -o "Dir::Cache=$dir/cache" \
		-o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=2 "$@"
}

_kernel_apt_update() {
	local kind=$1 dir=$CACHE/apt/$1

	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	_kernel_sources "$kind" >"$dir/sources.list"
	[ -s "$dir/sources.list" ] ||
		fail "apt has no source of $(_kernel_os ID) $(_kernel_os VERSION_CODENAME) on this host, so there is no mirror to get a kernel from: add one to /etc/apt"
	_kernel_apt "$kind" apt-get -o APT::Update::Error-Mode=any update >"$dir/log" 2>&1 ||
		fail "cannot reach $(awk '{ print $(NF - 2) }' "$dir/sources.list" | head -n 1) for a kernel: $(grep '^[EW]:' "$dir/log" | head -n 1)"
}

# _kernel_version_of KIND META: the version that the meta package stands for, as uname -r has it.
_kernel_version_of() {
	_kernel_apt "$1" apt-cache --no-all-versions show "$2" 2>/dev/null |
		sed -n 's/^Depends:.*\blinux-image-\([0-9][^ ,]*\).*/\1/p' | head -n 1
}

# _kernel_download KIND VERSION DIR: its packages, into DIR. Ubuntu has modules in packages of their own.
_kernel_download() {
	local kind=$1 version=$2 dir=$3 name names=()

	for name in image modules modules-extra; do
		name=linux-$name-$version
		! _kernel_apt "$kind" apt-cache show "$name" >/dev/null 2>&1 || names+=("$name")
	done
	[ ${#names[@]} -gt 0 ] || fail "there is no package linux-image-$version at this host's mirrors"
	echo "soft-roce: downloading kernel $version" >&2
	(cd "$dir" && _kernel_apt "$kind" apt-get download "${names[@]}") >"$dir/log" 2>&1 ||
		fail "cannot download ${names[*]}: $(grep '^[EW]:' "$dir/log" | head -n 1)"
}

# ---- unpacking ----

# _kernel_field FILE OFFSET SIZE: a number in the header of a bzImage (Documentation/arch/x86/boot.rst).
_kernel_field() {
	od -An "-tu$3" -j"$2" -N"$3" "$1" | tr -d ' '
}

# _kernel_extract BZIMAGE OUT: the kernel as an ELF file, which QEMU starts at its PVH entry. Saves two
# to eight seconds a boot against the compressed one; where it cannot be had, that one is used.
_kernel_extract() {
	local image=$1 out=$2 start size unpack

	start=$((($(_kernel_field "$image" 497 1) + 1) * 512 + $(_kernel_field "$image" 584 4)))
	size=$(($(_kernel_field "$image" 588 4) - 4)) # the length of what comes out follows it
	case $(od -An -tx1 -j"$start" -N2 "$image" | tr -d ' ') in
	fd37) unpack='xz -dc' ;;
	28b5) unpack='zstd -dcq' ;;
	1f8b) unpack='gzip -dc' ;;
	*) unpack=false ;;
	esac
	tail -c "+$((start + 1))" "$image" | head -c "$size" | $unpack >"$out" 2>/dev/null
	[ "$(od -An -c -N4 "$out" | tr -d ' ')" = '177ELF' ] || cp "$image" "$out"
}

# _kernel_keep DIR BZIMAGE VERSION: DIR with its modules becomes the kernel of that version.
_kernel_keep() {
	local dir=$1 version=$3

	[ -e "$dir/lib/modules/$version/kernel/drivers/infiniband/sw/rxe" ] ||
		fail "kernel $version has no rdma_rxe module: choose another with --kernel"
	_kernel_extract "$2" "$dir/vmlinux"
	depmod -b "$dir" "$version" || fail "depmod failed for kernel $version in $dir"
	rm -rf "$CACHE/kernels/$version"
	mv "$dir" "$CACHE/kernels/$version"
}

# _kernel_unpack DIR: the .deb files in it. Prints the version.
_kernel_unpack() {
	local dir=$1 deb image

	for deb in "$dir"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" "${KERNEL_LEAVE_OUT[@]}" ||
			fail "cannot unpack ${deb##*/} into $dir: is the disk full?"
		rm -f "$deb"
	done
	# Newer packages know only /usr/lib.
	[ -e "$dir/lib" ] || mv "$dir/usr/lib" "$dir/lib"
	for image in "$dir"/boot/vmlinuz-*; do
		[ -e "$image" ] || fail "no boot/vmlinuz-* in that package: it is not a kernel"
		_kernel_keep "$dir" "$image" "${image##*/vmlinuz-}"
		echo "${image##*/vmlinuz-}"
		return
	done
}

# ---- the ways to name one ----

_kernel_from_apt() {
	local kind=$1 version=$2 dir

	dir=$(mktemp -d "$CACHE/kernels/.new.XXXXXX")
	_kernel_download "$kind" "$version" "$dir"
	_kernel_unpack "$dir" >/dev/null
}

# stable and backport, the first time.
_kernel_from_name() {
	local name=$1 source kind meta version

	command -v apt-get >/dev/null ||
		fail "--kernel $name needs apt: give --kernel VERSION of a kernel that is installed here"
	source=$(_kernel_source "$name") || exit
	read -r kind meta <<<"$source"
	_kernel_apt_update "$kind"
	version=$(_kernel_version_of "$kind" "$meta")
	[ -n "$version" ] || fail "no $meta at this host's mirrors ($kind)"
	[ -e "$CACHE/kernels/$version/vmlinux" ] || _kernel_from_apt "$kind" "$version"
	ln -sfn "$version" "$CACHE/kernels/$name"
}

_kernel_from_file() {
	local deb=$1 dir

	dir=$(mktemp -d "$CACHE/kernels/.new.XXXXXX")
	cp "$deb" "$dir/kernel.deb"
	_kernel_unpack "$dir"
}

# A version: of a kernel that is installed on this host, or else of a package.
_kernel_from_version() {
	local version=$1 image dir kind

	for image in "/lib/modules/$version/vmlinuz" "/boot/vmlinuz-$version"; do
		[ -r "$image" ] || continue
		dir=$(mktemp -d "$CACHE/kernels/.new.XXXXXX")
		mkdir -p "$dir/lib/modules"
		cp -r "/lib/modules/$version" "$dir/lib/modules/"
		_kernel_keep "$dir" "$image" "$version"
		return
	done
	command -v apt-get >/dev/null || fail "no kernel $version in /lib/modules or /boot"
	for kind in release backports; do
		_kernel_apt_update "$kind"
		! _kernel_apt "$kind" apt-cache show "linux-image-$version" >/dev/null 2>&1 || break
	done
	_kernel_from_apt "$kind" "$version"
}

# Called in a subshell that holds the lock of the cache, so that two guests do not fetch at once.
_kernel_fetch() {
	rm -rf "$CACHE"/kernels/.new.*
	case $1 in
	*.deb) _kernel_from_file "$1" ;;
	stable | backport)
		[ -e "$CACHE/kernels/$1/vmlinux" ] || _kernel_from_name "$1"
		readlink "$CACHE/kernels/$1"
		;;
	*/*) fail "no such kernel: $1" ;;
	*)
		[ -e "$CACHE/kernels/$1/vmlinux" ] || _kernel_from_version "$1"
		echo "$1"
		;;
	esac
}

kernel_get() {
	local version lock

	[[ $1 != *.deb ]] || [ -r "$1" ] || fail "cannot read $1"
	mkdir -p "$CACHE/kernels" || fail "cannot make $CACHE: set LIBPAGER_CACHE to a directory that can be written to"
	exec {lock}>"$CACHE/lock"
	flock "$lock"
	version=$(_kernel_fetch "$1") || exit
	exec {lock}>&-
	KERNEL=$CACHE/kernels/$version
	KERNEL_VERSION=$version
}
