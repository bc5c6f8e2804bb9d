# shellcheck shell=bash
#
# What the tests in a guest share: they are integration tests (see tests/integration/README.md), over
# verbs, in sizes for an emulated machine. Those in one/ have their donor in the same guest, those in
# two/ in guest b. Sources lib_bad.sh.

DONOR_HOST=10.77.0.1 # of guest a
TRANSPORTS=verbs
SHARES=4
. "$ROOT/tests/integration/lib_bad.sh"

# need_engine: skips the test where there is none. What this kernel lacks for it is said by doctor. (Which
# also reads the libraries once: the first time that takes seconds in a guest.)
need_engine() {
	local lacks

	lacks=$("$PAGERCTL" doctor --transport verbs 2>&1 | sed -n 's/^bad *features *//p')
	[ -z "$lacks" ] || skip "no engine on Linux $(uname -r): $lacks"
}
