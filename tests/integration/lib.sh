# shellcheck shell=bash
#
# What the integration tests share; each test sources it first. README.md says what a test is.
#
# From the runner: BUILD, TMP, ROOT, SIZE (small, usual or long). From whoever has other hosts or
# transports: DONOR_HOST, an IPv4 address of this host, TRANSPORTS, all that are tested, and SHARES, of
# real_program(). From who wants to see Linux before 6.8 on a newer one: MOVE=off.

set -u

# How far resident memory may be over the local budget at any moment: the bound that
# docs/design.md promises, budget/RSS_BOUND_SHARE + RSS_BOUND_KIB, and RSS_LATE_KIB for each
# millisecond by which the engine was kept from looking (it says so itself): programs here fill
# fresh memory at up to 2 GB/s a thread.
RSS_BOUND_SHARE=8
RSS_BOUND_KIB=$((32 << 10))
RSS_LATE_KIB=$((4 << 10))

# The smallest budget that is accepted; see CONFIG_MIN_LOCAL in pager/config.h.
MIN_LOCAL_KIB=$((8 << 10))

DONOR_HOST=${DONOR_HOST:-127.0.0.1}
TRANSPORTS=${TRANSPORTS:-shm tcp}
SHARES=${SHARES:-4 2} # a quarter; and half, over the first transport only

DONORD=$BUILD/donord
PAGERCTL=$BUILD/pagerctl
LIBRARY=$BUILD/libpager.so
PROGS=$BUILD/tests/integration # the prog_*.c of this directory

unset LD_PRELOAD "${!LIBPAGER_@}"
export LC_ALL=C
[ -z "${MOVE:-}" ] || export LIBPAGER_MOVE=$MOVE

# ---- results ----

note() {
	echo "$*" >&2
}

# fail WHY...: ends the test.
fail() {
	note "FAILED: $*"
	exit 1
}

# skip WHY...: ends the test; it cannot run here.
skip() {
	note "$*"
	exit 77
}

# need COMMAND...: skips the test where one is missing.
need() {
	local command

	for command in "$@"; do
		command -v "$command" >/dev/null || skip "$command is not installed"
	done
}

need_root() {
	[ "$(id -u)" -eq 0 ] || skip "not root"
}

# have PATTERN FILE WHY: fails unless a line of the file matches; shows the file then.
have() {
	grep -Eq -- "$1" "$2" && return
	note "--- $2:"
	tail -n 20 "$2" >&2
	fail "$3"
}

# same_output FILE FILE
same_output() {
	cmp "$1" "$2" >&2 || fail "$2 differs from $1"
}

# count_lines PATTERN FILE
count_lines() {
	grep -Ec -- "$1" "$2" || true
}

# wait_for SECONDS COMMAND...: true once the command is, false if that takes longer.
wait_for() {
	local end=$((SECONDS + $1 + 1))

	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# sized SMALL USUAL LONG: the number for the sizes that were chosen.
sized() {
	# shellcheck disable=SC2153 # the runner's
	case $SIZE in
	small) echo "$1" ;;
	usual) echo "$2" ;;
	*) echo "$3" ;;
	esac
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# Whether pages are taken out with UFFDIO_MOVE here.
has_move() {
	[ "${LIBPAGER_MOVE:-auto}" = auto ] && ! "$PAGERCTL" doctor | grep -q 'lacks.* MOVE'
}

# ---- donors ----

# start_donor SIZE [OPTION...]: sets DONOR_PORT, DONOR_SOCK, DONOR_PID, DONOR_LOG. Several may run.
_donors=0
start_donor() {
	local size=$1

	shift
	# A slab is filled with zeros first, and a busy emulated machine may stand still for ten seconds.
	[ "$SIZE" != small ] || set -- --slab-size 8M --lease 60s "$@"
	_donors=$((_donors + 1))
	DONOR_SOCK=$TMP/donor$_donors.sock
	DONOR_LOG=$TMP/donor$_donors.log
	# Memory of malloc(3) that is read before it is written must be noticed here.
	MALLOC_PERTURB_=85 "$DONORD" --size "$size" --listen "$DONOR_HOST:0" --local-socket "$DONOR_SOCK" "$@" \
		>"$DONOR_LOG" 2>&1 &
	DONOR_PID=$!
	wait_for 10 _donor_answered || fail "donord did not get ready: $(tail -n 5 "$DONOR_LOG")"
	DONOR_PORT=$(sed -n 's/^donord ready: .* on [0-9.]*:\([0-9]*\).*/\1/p' "$DONOR_LOG")
	[ -n "$DONOR_PORT" ] || fail "no port in donord's line: $(cat "$DONOR_LOG")"
}

_donor_answered() {
	grep -q '^donord ready: ' "$DONOR_LOG" || gone "$DONOR_PID"
}

# shellcheck disable=SC2120 # most tests have one donor only
# stop_donor [PID]: asks it to end; fails the test if it does not, or not in order.
stop_donor() {
	local pid=${1:-$DONOR_PID}

	kill -TERM "$pid" || fail "donord was not there any more"
	wait_for 10 gone "$pid" || fail "donord does not end"
	wait "$pid" || fail "donord ended with status $?"
}

kill_donor() {
	kill -KILL "${1:-$DONOR_PID}"
	wait "${1:-$DONOR_PID}" 2>/dev/null
}

# donor_of TRANSPORT: how the donor started last is named for it.
donor_of() {
	case $1 in
	shm) echo "unix:$DONOR_SOCK" ;;
	*) echo "$DONOR_HOST:$DONOR_PORT" ;;
	esac
}

# ---- running programs ----

# The three below run a command with the test's own standard streams and return its status. What
# prog_watch has seen of it is in the array SEEN afterwards: ${SEEN[peak_anon_kib]}, ${SEEN[major]}, …
declare -A SEEN

_watched() {
	local report=$TMP/watch key value status=0

	rm -f "$report"
	"$PROGS/prog_watch" "$report" "$@" || status=$?
	[ -s "$report" ] || fail "nothing is known of: $*"
	while read -r key value; do
		SEEN[$key]=$value
	done <"$report"
	return $status
}

# plain COMMAND...: without libpager.
plain() {
	_watched "$@"
}

# under LOCAL TRANSPORT COMMAND...: with libpager and the donor started last. PAGER_OPTIONS (an
# array) goes to pagerctl run, AS_USER (another) before it; the engine's lines go to $TMP/engine.log.
PAGER_OPTIONS=()
AS_USER=()
under() {
	local local_size=$1 transport=$2

	shift 2
	: >"$TMP/engine.log"
	chmod 666 "$TMP/engine.log" # for tests that change the user
	_watched "${AS_USER[@]}" "$PAGERCTL" run --local "$local_size" --transport "$transport" \
		--donor "$(donor_of "$transport")" --log info --log-file "$TMP/engine.log" \
		"${PAGER_OPTIONS[@]}" --lib "$LIBRARY" -- "$@"
}

# paged LOCAL TRANSPORT COMMAND...: under(), and the promises: status 0, memory went to the donor
# and came back, no page was wrong, resident memory stayed within its bound. LOCAL is in KiB here.
paged() {
	local status=0

	under "$1K" "${@:2}" || status=$?
	note "$(_seen_line "$1" "$2")"
	[ $status -eq 0 ] || fail "status $status; engine: $(tail -n 5 "$TMP/engine.log")"
	really_paged
	within_bound "$1"
}

# really_paged: of the run before. A run in which nothing was taken out proves nothing.
really_paged() {
	[ "${SEEN[written]}" -gt 0 ] || fail "nothing was taken to the donor"
	[ "${SEEN[major]}" -gt 0 ] || fail "nothing was fetched from the donor"
	[ "${SEEN[corrupt]}" -eq 0 ] || fail "${SEEN[corrupt]} pages had a wrong hash"
	[ "${SEEN[over_budget]}" -eq 0 ] || fail "donor was full: the test is too large for it"
}

_seen_line() {
	echo "$2, local $(($1 >> 10)) MiB: ${SEEN[elapsed_ms]} ms," \
		"resident $((SEEN[peak_anon_kib] >> 10)) MiB, remote $((SEEN[remote_kib] >> 10)) MiB," \
		"written ${SEEN[written]}, major ${SEEN[major]}, ahead ${SEEN[ahead]}," \
		"late ${SEEN[late_ms]} ms"
}

rss_bound_kib() {
	echo $(($1 + $1 / RSS_BOUND_SHARE + RSS_BOUND_KIB))
}

# within_bound LOCAL_KIB: of the run before.
within_bound() {
	local bound

	bound=$(($(rss_bound_kib "$1") + SEEN[late_ms] * RSS_LATE_KIB))
	[ "${SEEN[peak_anon_kib]}" -le "$bound" ] ||
		fail "${SEEN[peak_anon_kib]} KiB were resident, $bound KiB is the bound"
}

# ---- real programs ----

# real_program COMMAND...: runs the command plain, then over each transport with the first share of
# what it had resident, over the first transport with the others, too, and wants the same standard output each time, and the same bytes in the file
# named by RESULT if that is set.
RESULT=
real_program() {
	local peak share shares=$SHARES transport local_kib

	plain "$@" >"$TMP/plain.out" || fail "the plain run has status $?"
	[ -z "$RESULT" ] || mv "$RESULT" "$TMP/plain.result"
	peak=${SEEN[peak_anon_kib]}
	note "plain: ${SEEN[elapsed_ms]} ms, resident $((peak >> 10)) MiB"
	start_donor $((peak * 2 / 1024 + 256))M
	for transport in $TRANSPORTS; do
		for share in $shares; do
			local_kib=$((peak / share))
			[ $local_kib -ge $MIN_LOCAL_KIB ] || fail "too small a program: $peak KiB"
			paged $local_kib "$transport" "$@" >"$TMP/paged.out"
			same_output "$TMP/plain.out" "$TMP/paged.out"
			[ -z "$RESULT" ] || same_output "$TMP/plain.result" "$RESULT"
		done
		shares=${SHARES%% *}
	done
	stop_donor "$DONOR_PID"
}
