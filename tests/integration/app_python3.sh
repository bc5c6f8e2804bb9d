#!/bin/bash
# Python's dictionaries, lists and large integers, with its collector passing over all of them.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

PYTHON=/usr/bin/python3
[ -x $PYTHON ] || skip "$PYTHON is not installed"

cat >"$TMP/work.py" <<'PROGRAM'
import gc, hashlib, sys

count = int(sys.argv[1])

def numbers(seed, n):
    """The same numbers everywhere."""
    for _ in range(n):
        seed = (seed * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        yield seed >> 20

def digest(items):
    sha = hashlib.sha256()
    for item in items:
        sha.update(repr(item).encode())
    return sha.hexdigest()

table = {f"key-{n:x}-{i}": (i, f"{n:x}" * 20, [n, i]) for i, n in enumerate(numbers(1, count))}
lists = [list(numbers(i, 200)) for i in range(count // 100)]
large = [3 ** (20000 + i) for i in range(count // 400)]
gc.collect()
print("table", digest(table.values()))
for row in lists:
    row.sort()
print("lists", digest(row[::9] for row in lists))
for i, row in enumerate(lists):
    row[i % 200] = large[i % len(large)] % 1000003
print("large", sum(large) % (10 ** 40))
keys = list(table)
picked = (keys[n % count] for n in numbers(2, count // 10))
print("picked", digest(table[key] for key in picked))
for key in keys[::2]:
    del table[key]
gc.collect()
print("left", len(table), digest(table.items()), sum(map(sum, lists)))
PROGRAM

real_program env PYTHONHASHSEED=1 $PYTHON "$TMP/work.py" "$(sized 46000 100000 400000)"
