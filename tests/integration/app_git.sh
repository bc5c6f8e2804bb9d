#!/bin/bash
# git packs a repository anew: several processes, one after another and with pipes between them, threads
# that search for likenesses, and a heap of what they have found. Each object is as before.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need git awk

COMMITS=$(sized 60 60 1000)
FILES=20
LINES=6000 # of a file

export HOME=$TMP GIT_CONFIG_NOSYSTEM=1

# What is known by heart: the time, and who has written it.
history() {
	awk -v commits="$COMMITS" -v files=$FILES -v lines="$LINES" 'BEGIN {
		srand(7)
		for (f = 0; f < files; f++)
			for (l = 0; l < lines; l++)
				text[f, l] = int(rand() * 1e9) " " int(rand() * 1e9)
		for (c = 1; c <= commits; c++) {
			print "commit refs/heads/main"
			printf "committer Nobody <nobody> %d +0000\n", 1000000000 + c * 60
			print "data 2\nc\n"
			for (n = 0; n < 4; n++) {
				f = int(rand() * files)
				for (k = 0; k < 20; k++)
					text[f, int(rand() * lines)] = int(rand() * 1e9) " " c
				bytes = 0
				for (l = 0; l < lines; l++)
					bytes += length(text[f, l]) + 1
				printf "M 644 inline file-%d\ndata %d\n", f, bytes
				for (l = 0; l < lines; l++)
					print text[f, l]
				print ""
			}
		}
	}'
}

git init -q --bare "$TMP/origin" || fail "git init: status $?"
history | git -C "$TMP/origin" fast-import --quiet --depth=0 || fail "git fast-import: status $?"

# Over a copy, and with names of objects only: packs may differ by which thread was first.
cat >"$TMP/work" <<'SCRIPT'
rm -rf "$TMP/copy" && cp -r "$TMP/origin" "$TMP/copy" && cd "$TMP/copy" || exit
git repack -q -a -d -f --threads=2 --window=60 && git gc --quiet --prune=now || exit
git fsck --full --strict 2>&1 || exit
git count-objects -v | grep -v size
git cat-file --batch-check --batch-all-objects
git cat-file --batch --batch-all-objects | cksum
SCRIPT
export TMP
real_program sh "$TMP/work"
