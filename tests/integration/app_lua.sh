#!/bin/bash
# Lua's tables and strings.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need lua5.4

cat >"$TMP/work.lua" <<'PROGRAM'
local count, words = tonumber(arg[1]), tonumber(arg[2])
collectgarbage("setpause", tonumber(arg[3]))
local seed = 1

local function number()
	seed = seed * 6364136223846793005 + 1442695040888963407
	return seed >> 20
end

local function mix(sum, text)
	for i = 1, #text, 50 do
		sum = (sum * 31 + text:byte(i)) & 0xffffffffffff
	end
	return sum
end

local names, byname = {}, {}
for i = 1, count do
	local name = string.format("%x-%d", number(), i)
	names[i] = name
	byname[name] = {index = i, name:rep(words), {number()}}
end
collectgarbage()

local sum = 0
for i = 1, count do
	sum = mix(sum, byname[names[i]][1])
end
print("in order", sum)
for _ = 1, count // 20 do
	local item = byname[names[number() % count + 1]]
	sum = mix(sum, item[1]) ~ item[2][1]
	item[2][1] = number()
end
print("picked", sum)
local some = {}
for i = 1, count, 10 do
	some[#some + 1] = names[i]
end
table.sort(some)
for i = 1, #some, 2 do
	byname[some[i]] = nil
	sum = mix(sum, some[i])
end
collectgarbage()
for i = 2, count, 10 do
	local item = byname[names[i]]
	sum = mix(sum, names[i]) ~ item.index ~ item[2][1]
end
print("left", sum)
PROGRAM

# How many, how long, and at what growth in per cent it collects by itself: where each of its passes over
# all of them takes minutes, that is never.
real_program lua5.4 "$TMP/work.lua" "$(sized 4700 25000 100000)" "$(sized 500 60 60)" "$(sized 1000 200 200)"
