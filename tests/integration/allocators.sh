#!/bin/bash
# Other allocators than the C library's, loaded beside libpager: each has arenas, threads' caches and
# handlers of fork of its own, and gives memory back in its own way.
# limit: 240
. "$ROOT/tests/integration/lib.sh"

ALLOCATORS=(libjemalloc.so.2 libtcmalloc_minimal.so.4 libmimalloc.so.2)
PYTHON=/usr/bin/python3
ITEMS=$(sized 3000 100000 600000)
LENGTH=$(sized 80 1 1)

[ -x $PYTHON ] || skip "no $PYTHON"

cat >"$TMP/work.py" <<'PROGRAM'
import hashlib, os, sys, threading

count, length = int(sys.argv[1]), int(sys.argv[2])
data = {i: b"%d" % i * (length * (i % 40 + 1)) for i in range(count)}
sums = [None] * 4

def walk(part):
    sha = hashlib.sha256()
    for i in range(part, count, 4):
        key = i * 7919 % count
        sha.update(data[key])
        if i % 16 == part:
            data[key] = data[key] * 2
    sums[part] = sha.hexdigest()

threads = [threading.Thread(target=walk, args=(part,)) for part in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("in threads", sums, sum(len(item) for item in data.values()))
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    walk(1)
    print("child", sums[1], sum(len(item) for item in data.values()))
    sys.stdout.flush()
    os._exit(0)
print("status", os.waitpid(pid, 0)[1])
for key in range(0, count, 2):
    del data[key]
walk_left = hashlib.sha256(b"".join(data[key] for key in sorted(data))).hexdigest()
print("left", len(data), walk_left)
PROGRAM

# The first word is looked for in what the shell has mapped; the plain run has nothing to look for.
# shellcheck disable=SC2016 # for the inner shell
IS_THERE='[ -z "${LD_PRELOAD:-}" ] || grep -qF "$0" /proc/self/maps || exit 99; exec "$@"'

# Those that come after the first are as good, so one transport will do.
SHARES=${SHARES%% *}
for allocator in "${ALLOCATORS[@]}"; do
	if ! ldconfig -p | grep -qF "	$allocator "; then
		note "$allocator is not installed"
		continue
	fi
	note "$allocator"
	ran=1
	# Not as part of the command, where it would take the place of libpager.
	AS_USER=(env "LD_PRELOAD=$allocator")
	real_program env PYTHONMALLOC=malloc sh -c "$IS_THERE" "$allocator" \
		$PYTHON "$TMP/work.py" "$ITEMS" "$LENGTH"
	TRANSPORTS=${TRANSPORTS%% *}
done
[ -n "${ran:-}" ] || skip "none of ${ALLOCATORS[*]} is installed"
