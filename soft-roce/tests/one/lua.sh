#!/bin/bash
# A real program computes the same with a quarter of its memory over verbs.
# limit: 120
. "$ROOT/soft-roce/tests/lib.sh"

need lua5.4
need_engine

cat >"$TMP/work.lua" <<'PROGRAM'
-- It would pass over all of it, again and again: minutes, emulated.
collectgarbage("stop")

local count, seed, byname, names = 3200, 1, {}, {}

local function number()
	seed = seed * 6364136223846793005 + 1442695040888963407
	return seed >> 20
end

for i = 1, count do
	local name = string.format("%x-%d", number(), i)
	names[i] = name
	byname[name] = name:rep(700)
end
local sum = 0
for _ = 1, count do
	local text = byname[names[number() % count + 1]]
	sum = (sum * 31 + text:byte(number() % #text + 1)) & 0xffffffffffff
end
table.sort(names)
for i = 1, count do
	sum = (sum * 31 + byname[names[i]]:byte(-1)) & 0xffffffffffff
end
print(sum)
PROGRAM

real_program lua5.4 "$TMP/work.lua"
