#!/bin/bash
# stress-ng's stressors of memory, each checking what it wrote, find nothing wrong with a few MiB here.
# limit: 200
. "$ROOT/tests/integration/lib.sh"

need stress-ng
LOCAL=16M
SECONDS_EACH=$(sized 6 2 30)
MIB=$(sized 48 128 512)

# What it must do with its memory for pages to go out, and come back, and how it does it.
PAGED=(
	"vm 1 --vm-bytes ${MIB}M --vm-keep"
	"mmap 1 --mmap-bytes ${MIB}M"
	"mremap 1 --mremap-bytes ${MIB}M"
	"malloc 1 --malloc-bytes ${MIB}M"
)
# Most of these stay small; they make processes, threads and mappings as fast as they can.
SMALL=("madvise 1" "fork 2" "vfork 2" "brk 1" "stack 1" "pthread 2" "mprotect 1" "clone 1" "sigsegv 1")

# stress TRANSPORT STRESSOR: a stressor that ends badly without libpager, too, is none on this kernel
# (madvise, as root, poisons a page where the kernel can, and dies of it).
stress() {
	local transport=$1 status=0
	local words command

	read -ra words <<<"--$2"
	command=(stress-ng "${words[@]}" --verify --timeout "$SECONDS_EACH" --temp-path "$TMP")
	under "$LOCAL" "$transport" "${command[@]}" >"$TMP/out" 2>&1 || status=$?
	if [ $status -ne 0 ] && ! plain "${command[@]}" >"$TMP/plain.out" 2>&1; then
		note "not here, it fails without libpager, too: $2"
		return 1
	fi
	[ $status -eq 0 ] || fail "$2: status $status: $(cat "$TMP/out" "$TMP/engine.log")"
	have 'successful run completed' "$TMP/out" "$2: $(cat "$TMP/out")"
	note "$(_seen_line 16384 "$transport"): $2"
}

start_donor $((MIB * 8))M
for transport in $TRANSPORTS; do
	for stressor in "${PAGED[@]}"; do
		stress "$transport" "$stressor" && really_paged
	done
done
SECONDS_EACH=$((SECONDS_EACH / 3 + 1))
ran=
for stressor in "${SMALL[@]}"; do
	stress "${TRANSPORTS%% *}" "$stressor" && ran=1
done
[ -n "$ran" ] || fail "none of the small stressors works here"
stop_donor
