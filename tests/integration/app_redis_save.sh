#!/bin/bash
# A redis server that saves itself from a forked child while it is written to: each snapshot holds
# exactly the state of the moment of its fork, and so does what a rewritten log begins with.
# limit: 300
. "$ROOT/tests/integration/lib.sh"

need redis-server redis-cli

KEYS=$(sized 15000 60000 400000)
SAVES=$(sized 2 4 20)
LOCAL=$(sized 8 16 96)M
CHUNK=200 # epochs in one script, which no fork interrupts

# An epoch rewrites eight keys; what each key holds at the end of one follows from its number.
cat >"$TMP/work.lua" <<'PROGRAM'
local first, keys = tonumber(redis.call('GET', 'epoch') or '0'), tonumber(ARGV[2])
for epoch = first + 1, first + ARGV[1] do
	for i = 0, 7 do
		local key = (epoch * 8 + i) * 7919 % keys
		redis.call('SET', 'key' .. key, string.rep(epoch .. ':' .. key .. ' ', 60))
	end
	redis.call('SET', 'epoch', epoch)
end
PROGRAM
cat >"$TMP/check.lua" <<'PROGRAM'
local epochs, keys, last, n = tonumber(redis.call('GET', 'epoch')), tonumber(ARGV[1]), {}, 0
for epoch = 1, epochs do
	for i = 0, 7 do
		last[(epoch * 8 + i) * 7919 % keys] = epoch
	end
end
for key, epoch in pairs(last) do
	n = n + 1
	if redis.call('GET', 'key' .. key) ~= string.rep(epoch .. ':' .. key .. ' ', 60) then
		return 'key ' .. key .. ' is not that of epoch ' .. epoch .. ' of ' .. epochs
	end
end
if redis.call('DBSIZE') ~= n + 1 then
	return redis.call('DBSIZE') .. ' keys instead of ' .. n + 1
end
return 'right, after ' .. epochs .. ' epochs'
PROGRAM

client() {
	redis-cli -s "$TMP/server.sock" "$@"
}

epochs() {
	[ -z "$(client --eval "$TMP/work.lua" , "$1" "$KEYS")" ]
}

has_info() {
	client INFO persistence | tr -d '\r' | grep -qx "$1"
}

# while_it WHAT COMMAND: has it do that, and writes on until it is done.
while_it() {
	local deadline=$((SECONDS + 60))

	client "$2" >/dev/null
	until has_info "$1_in_progress:0"; do
		epochs $CHUNK && [ $SECONDS -lt $deadline ] || return 1
	done
	epochs $CHUNK
}

drive() {
	local i

	wait_for 20 test -S "$TMP/server.sock" || return 1
	for ((i = 0; i < KEYS / 8; i += CHUNK)); do
		epochs $CHUNK || return 1
	done
	for ((i = 1; i <= SAVES; i++)); do
		while_it rdb_bgsave BGSAVE && has_info rdb_last_bgsave_status:ok || return 1
		mv "$TMP/data/dump.rdb" "$TMP/save$i.rdb"
		while_it aof_rewrite BGREWRITEAOF && has_info aof_last_bgrewrite_status:ok || return 1
	done
	client SHUTDOWN NOSAVE
}

# check_state WHAT OPTION...: in a server that is not paged.
check_state() {
	local what=$1 server

	shift
	redis-server --port 0 --unixsocket "$TMP/server.sock" --save '' --logfile "$TMP/$what.log" "$@" &
	server=$!
	wait_for 20 client PING >/dev/null 2>&1
	wait_for 60 has_info loading:0
	client --eval "$TMP/check.lua" , "$KEYS" >"$TMP/$what.out"
	kill "$server"
	wait "$server"
	have '^right, after [0-9]* epochs$' "$TMP/$what.out" "$what is not the state at its fork"
	note "$what: $(cat "$TMP/$what.out")"
}

mkdir "$TMP/data"
start_donor $((KEYS / 60 + 64))M
for transport in $TRANSPORTS; do
	note "$transport"
	rm -rf "$TMP/data/"*
	drive &
	driver=$!
	under "$LOCAL" "$transport" redis-server --port 0 --unixsocket "$TMP/server.sock" --save '' \
		--dir "$TMP/data" --appendonly yes --appendfsync no --logfile "$TMP/server.log" ||
		fail "the server: status $?: $(tail -n 5 "$TMP/server.log" "$TMP/engine.log")"
	wait "$driver" || fail "the driver: $(tail -n 20 "$TMP/server.log" "$TMP/engine.log")"
	really_paged
	[ "${SEEN[forks]}" -ge $((2 * SAVES)) ] || fail "${SEEN[forks]} forks"
	for ((i = 1; i <= SAVES; i++)); do
		check_state "save$i" --dir "$TMP" --dbfilename "save$i.rdb"
	done
	check_state log --dir "$TMP/data" --appendonly yes
	note "$(_seen_line 0 "$transport")"
done
stop_donor
