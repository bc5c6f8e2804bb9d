#!/bin/bash
# A process that is made while pages are out has the right bytes, in every way to make one; parent
# and child change theirs apart from each other. (Until a child shares its parent's pages on the
# donor, they are brought home first: then more than the budget is resident, and the bound is not
# checked here.)
# limit: 300
. "$ROOT/tests/integration/lib.sh"

MIB=$(sized 12 48 192)
LOCAL=$(sized 8 12 48)M
WAYS=(fork quiet _Fork clone clone_changes clone_clones clone_forks vfork system popen posix_spawn
	daemon twice threads)
PYTHON=/usr/bin/python3

# forked TRANSPORT COMMAND...
forked() {
	under "$LOCAL" "$@" || fail "status $?; engine: $(tail -n 5 "$TMP/engine.log")"
	really_paged
}

cat >"$TMP/work.py" <<'PROGRAM'
import hashlib, multiprocessing, os, subprocess, sys

data = [b"%d" % i * 40 for i in range(int(sys.argv[1]))]

def digest(part):
    sha = hashlib.sha256()
    for item in data[part::4]:
        sha.update(item)
    return sha.hexdigest()

print([digest(part) for part in range(4)])
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(digest, range(4)))
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    print("child", digest(1))
    sys.stdout.flush()
    os._exit(0)
print("status", os.waitpid(pid, 0)[1])
print(subprocess.run(["echo", "said"], capture_output=True, check=True).stdout)
print([digest(part) for part in range(4)])
PROGRAM

start_donor $((MIB * 16))M
for transport in $TRANSPORTS; do
	for way in "${WAYS[@]}"; do
		forked "$transport" "$PROGS/prog_fork" "$MIB" "$way" >"$TMP/out"
		have "^$way right$" "$TMP/out" "$way over $transport: $(cat "$TMP/out")"
	done
	if [ -x $PYTHON ]; then
		$PYTHON "$TMP/work.py" $((MIB * 4000)) >"$TMP/plain.out" || fail "plain: status $?"
		forked "$transport" $PYTHON "$TMP/work.py" $((MIB * 4000)) >"$TMP/paged.out"
		same_output "$TMP/plain.out" "$TMP/paged.out"
	fi
done
for way in many changing; do
	forked "${TRANSPORTS%% *}" "$PROGS/prog_fork" "$MIB" $way >"$TMP/out"
	have "^$way right$" "$TMP/out" "$way: $(cat "$TMP/out")"
done
# Where the kernel does not report forks.
AS_USER=(setpriv --bounding-set=-sys_ptrace)
for way in fork quiet twice; do
	forked "${TRANSPORTS%% *}" "$PROGS/prog_fork" "$MIB" "$way" >"$TMP/out"
	have "^$way right$" "$TMP/out" "$way without CAP_SYS_PTRACE: $(cat "$TMP/out")"
done
stop_donor
