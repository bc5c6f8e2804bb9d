#!/bin/bash
# LuaJIT: an allocator of its own that asks for low addresses, machine code that is made while the
# program runs and protected by turns, arrays of C without a word of type.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need luajit

cat >"$TMP/work.lua" <<'PROGRAM'
local ffi, bit = require("ffi"), require("bit")
local count, words = tonumber(arg[1]), tonumber(arg[2])
collectgarbage("setpause", 400)
local seed = 1

local function number()
	seed = bit.tobit(seed * 69069 + 1)
	return bit.rshift(seed, 4)
end

-- what the collector has
local byname, names = {}, {}
for i = 1, count do
	local name = string.format("%x-%d", number(), i)
	names[i] = name
	byname[name] = {index = i, text = name:rep(words), {number(), number()}}
end
local sum = 0
for i = 1, count do
	local item = byname[names[i]]
	for k = 1, #item.text, 40 do
		sum = bit.bxor(bit.rol(sum, 5), item.text:byte(k)) + item[1][1] % 7
	end
end
print("in order", sum)

-- what it has not: loops over it become machine code
local size = count * 100
local array = ffi.new("double[?]", size)
for i = 0, size - 1 do
	array[i] = i * 0.5
end
local total = 0
for round = 1, 3 do
	for i = 0, size - 1 do
		local at = (i * 5) % size
		array[at] = array[at] + round
		total = total + array[at]
	end
end
print("array", string.format("%.1f", total))

-- closures, each compiled by itself
local parts = {}
for i = 1, 200 do
	parts[i] = loadstring(string.format("local a = ... for i = 1, 300 do a = (a * %d + i) %% 1000003 end return a", i + 2))
end
for i = 1, 200 do
	sum = (sum + parts[i](i)) % 1000000007
end
print("parts", sum)
for i = 1, count, 2 do
	byname[names[i]] = nil
end
collectgarbage()
for i = 2, count, 2 do
	sum = bit.bxor(sum, byname[names[i]].index, #byname[names[i]].text)
end
print("left", sum)
PROGRAM

real_program luajit "$TMP/work.lua" "$(sized 9000 12000 200000)" 250
