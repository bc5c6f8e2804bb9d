#!/bin/bash
# Installs what is missing to build, run and check libpager, and nothing else: on Debian 12 and 13 and
# Ubuntu 24.04 with apt, on Fedora with dnf.
#
#   scripts/install-deps.sh [--list] [build|check|rxe]
#
# build   what the programs need
# check   that, and what `make check`, lint, demo and bench need (the default)
# rxe     that, and what `make check-rxe` and `make bench-rxe` need: a virtual machine, programs to try
#         RDMA with, and swap over a network to compare with
# --list  prints each need, its package and whether it is there; installs nothing
#
# Asks no questions and starts no service: of redis and memcached only the programs are used. Needs
# are recognised by what they bring and not by package, so that a compiler of one's own counts, and
# so that with everything in place no package manager runs at all.
set -u

# Set, what it is recognised by, package of Debian and Ubuntu, package of Fedora. Recognised by: a
# header (*.h), a library for programs to load (*.so.N), what a compiler can link with (gcc:asan), or
# commands, in PATH or as a pattern of their paths, of which one is enough.
needs()
{
	cat <<'NEEDS'
build  gcc                  gcc              gcc
build  make                 make             make
build  stdlib.h             libc6-dev        glibc-devel
build  linux/userfaultfd.h  linux-libc-dev   kernel-headers
build  liburing.h           liburing-dev     liburing-devel
build  xxhash.h             libxxhash-dev    xxhash-devel
build  jansson.h            libjansson-dev   jansson-devel
build  systemd/sd-daemon.h  libsystemd-dev   systemd-devel
build  infiniband/verbs.h   libibverbs-dev   rdma-core-devel
build  rdma/rdma_cma.h      librdmacm-dev    rdma-core-devel
build  scdoc                scdoc            scdoc
check  CUnit/CUnit.h        libcunit1-dev    CUnit-devel
check  gcc:address          gcc              libasan
check  gcc:undefined        gcc              libubsan
check  gcc:thread           gcc              libtsan
check  clang                clang            clang
check  clang:fuzzer         libclang-rt-dev  compiler-rt
check  clang-format         clang-format     clang-tools-extra
check  clang-tidy           clang-tidy       clang-tools-extra
check  cppcheck             cppcheck         cppcheck
check  shellcheck           shellcheck       ShellCheck
check  python3              python3          python3
check  lua5.4|lua           lua5.4           lua
check  luajit               luajit           luajit
check  git                  git              git
check  perl                 perl             perl
check  java                 default-jdk-headless java-latest-openjdk-devel
check  node                 nodejs           nodejs
check  go                   golang-go        golang
check  sqlite3              sqlite3          sqlite
check  redis-server         redis-server     valkey-compat-redis
check  memcached            memcached        memcached
check  postgres|/usr/lib/postgresql/*/bin/postgres postgresql postgresql-server
check  psql                 postgresql-client postgresql
check  xz                   xz-utils         xz
check  stress-ng            stress-ng        stress-ng
check  libjemalloc.so.2     libjemalloc2     jemalloc
check  libtcmalloc_minimal.so.4 libtcmalloc-minimal4 gperftools-libs
check  libmimalloc.so.2     libmimalloc2.0   mimalloc
check  ps                   procps           procps-ng
check  ss                   iproute2         iproute
check  gnuplot              gnuplot-nox      gnuplot-minimal
rxe    qemu-system-x86_64   qemu-system-x86  qemu-system-x86-core
rxe    busybox              busybox-static   busybox
rxe    cpio                 cpio             cpio
rxe    kmod                 kmod             kmod
rxe    zstd                 zstd             zstd
rxe    setpriv              util-linux       util-linux
rxe    rdma                 iproute2         iproute
rxe    ib_read_lat          perftest         perftest
rxe    nbdkit               nbdkit           nbdkit
rxe    nbd-client           nbd-client       nbd
rxe    rping                rdmacm-utils     librdmacm-utils
rxe    ibv_rc_pingpong      ibverbs-utils    libibverbs-utils
NEEDS
}

fail()
{
	echo "install-deps: $*" >&2
	exit 1
}

has_header()
{
	local dir
	for dir in /usr/include /usr/include/"$(uname -m)"-linux-gnu /usr/local/include; do
		[ ! -e "$dir/$1" ] || return 0
	done
	return 1
}

has_command()
{
	local name
	for name in ${1//|/ }; do
		! command -v "$name" >/dev/null || return 0
	done
	return 1
}

# The fuzzer brings a main() and wants this function; to the others it is a library's.
can_link()
{
	local shared=-shared
	[ "$2" != fuzzer ] || shared=
	echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && n > 9; }' |
		"$1" -xc ${shared:+"$shared"} -fPIC "-fsanitize=$2" -o /dev/null - 2>/dev/null
}

is_there()
{
	case $1 in
	*.h) has_header "$1" ;;
	*.so.*) ldconfig -p | grep -qF "	$1 " ;;
	*:*) can_link "${1%:*}" "${1#*:}" ;;
	*) has_command "$1" ;;
	esac
}

# Prints the lines of needs() that belong to the set, each of which holds the one before it.
wanted()
{
	needs | awk -v set="$1" '$1 == "build" || set == "rxe" || $1 == set'
}

# Prints the packages that are missing, once each. $2: the column of this distribution.
missing_packages()
{
	local kind mark rest
	wanted "$1" | while read -r kind mark rest; do
		is_there "$mark" || echo "$kind $mark $rest"
	done | awk -v column="$2" '!seen[$column]++ { print $column }'
}

list()
{
	local kind mark package
	wanted "$1" | awk -v column="$2" '{ print $1, $2, $column }' |
		while read -r kind mark package; do
			printf '%-6s %-20s %-20s %s\n' "$kind" "$mark" "$package" \
				"$(is_there "$mark" && echo there || echo missing)"
		done
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

can_be_root()
{
	[ "$(id -u)" -eq 0 ] || { command -v sudo && sudo -n true; } >/dev/null 2>&1
}

# Debian's package scripts ask this file whether they may start a service. One that is there is the
# administrator's own answer and stays.
policy=/usr/sbin/policy-rc.d

forbid_services()
{
	[ ! -e "$policy" ] || return 0
	trap allow_services EXIT
	trap 'exit 1' INT TERM HUP
	as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
}

allow_services()
{
	as_root rm -f "$policy"
}

with_apt()
{
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)

	forbid_services
	as_root "${apt[@]}" update || echo "install-deps: the list of packages may be old" >&2
	as_root "${apt[@]}" install --no-install-recommends "$@"
}

with_dnf()
{
	as_root dnf -q -y install --setopt=install_weak_deps=False "$@"
}

set_wanted=check
only_list=
for arg in "$@"; do
	case $arg in
	build | check | rxe) set_wanted=$arg ;;
	--list) only_list=1 ;;
	*) fail "usage: install-deps.sh [--list] [build|check|rxe]" ;;
	esac
done

if command -v apt-get >/dev/null; then
	tool=apt column=3
elif command -v dnf >/dev/null; then
	tool=dnf column=4
else
	tool=none column=3
fi

if [ -n "$only_list" ]; then
	list "$set_wanted" "$column"
	exit
fi

mapfile -t packages < <(missing_packages "$set_wanted" "$column")
[ "${#packages[@]}" -gt 0 ] || exit 0
[ "$tool" != none ] || fail "needs apt or dnf to install ${packages[*]}"
can_be_root || fail "neither root nor sudo without a password; install these: ${packages[*]}"

echo "install-deps: installing ${packages[*]}"
"with_$tool" "${packages[@]}" </dev/null || fail "$tool could not install ${packages[*]}"
mapfile -t packages < <(missing_packages "$set_wanted" "$column")
[ "${#packages[@]}" -eq 0 ] || fail "installed, and still missing: ${packages[*]}"
