#!/bin/bash
# Node.js: a collector that copies, compiled code, buffers outside of the heap, threads.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need node

cat >"$TMP/work.js" <<'PROGRAM'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

function walk(items, rounds) {
	const table = new Map();
	let sum = 0;
	for (let i = 0; i < items; i++)
		table.set(i, { number: i, text: 'x'.repeat(i % 50) + i, list: [i, i + 1, i * 2] });
	for (let round = 0; round < rounds; round++) {
		for (let i = 0; i < items; i++) {
			const item = table.get((i * 7919) % items);
			sum = (sum * 31 + item.list[2] + item.text.length) % 1000000007;
			if (i % 5 === round)
				table.set(i, { number: i, text: 'y' + i, list: [round, i, i] });
		}
	}
	return sum;
}

function fill(bytes) {
	const buffer = Buffer.alloc(bytes);
	let sum = 0;
	for (let i = 0; i < bytes; i += 1024)
		buffer.writeUInt32LE(i ^ 0x5a5a5a5a, i);
	for (let i = 0; i < bytes; i += 1024)
		sum = (sum * 31 + buffer.readUInt32LE((i * 17) % bytes)) % 1000000007;
	return sum;
}

if (isMainThread) {
	const items = Number(process.argv[2]);
	console.log('walked', walk(items, 2), fill(items * 128));
	const worker = new Worker(__filename, { workerData: items / 4 });
	worker.on('message', sum => console.log('in a thread', sum));
} else {
	parentPort.postMessage(walk(workerData, 1));
}
PROGRAM

real_program node "$TMP/work.js" "$(sized 60000 160000 800000)"
