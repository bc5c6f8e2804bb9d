#!/bin/bash
# The runtime of Go: a collector that runs beside the program and gives memory back, reservations that
# are opened piece by piece, stacks that move, signals to threads that must stop, children made by
# clone(2) by hand. Linked with the C library (cgo), as what uses it is: what is not cannot be
# preloaded, and pagerctl says so.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need go gcc
[ "$SIZE" != small ] || skip "compiling the library of Go takes an emulated machine minutes"

ITEMS=$(sized 120000 200000 2000000)
export GOCACHE=$TMP/cache GOPATH=$TMP/go GOFLAGS=-mod=mod GO111MODULE=off GOTOOLCHAIN=local

cat >"$TMP/work.go" <<'PROGRAM'
package main

// #include <stdlib.h>
import "C"

import (
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
)

func item(seed, length int) []byte {
	bytes := make([]byte, length)
	for i := range bytes {
		bytes[i] = byte(seed*31 + i)
	}
	return bytes
}

// A stack that grows is moved.
func deep(n int, table map[int][]byte) uint32 {
	var room [256]byte
	if n == 0 {
		return 0
	}
	room[n%256] = table[n][n%len(table[n])]
	return deep(n-1, table)*31 + crc32.ChecksumIEEE(room[:])
}

func main() {
	items, _ := strconv.Atoi(os.Args[1])
	table := make(map[int][]byte)
	debug.SetGCPercent(50)
	for i := 0; i < items; i++ {
		table[i] = item(i, 100+i%200)
	}
	for round := 0; round < 2; round++ {
		for i := 0; i < items; i++ {
			key := int(int64(i) * 7919 % int64(items))
			if i%7 == round {
				table[key] = item(key+round, 100+i%100)
			}
		}
	}
	fmt.Println("deep", deep(min(items, 20000)-1, table))

	var wait sync.WaitGroup
	sums := make([]uint32, 4)
	for part := range sums {
		wait.Add(1)
		go func(part int) {
			defer wait.Done()
			for i := part; i < items; i += len(sums) {
				sums[part] = crc32.Update(sums[part], crc32.IEEETable, table[i])
				if i%1000 == part {
					runtime.Gosched()
				}
			}
		}(part)
	}
	wait.Wait()
	fmt.Println("in goroutines", sums)
	for i := 0; i < 3; i++ {
		said, err := exec.Command("echo", "said", strconv.Itoa(i)).Output()
		fmt.Printf("%s%v\n", said, err)
	}
	for key := 0; key < items; key += 2 {
		delete(table, key)
	}
	debug.FreeOSMemory()
	sum := uint32(0)
	for key := 1; key < items; key += 2 {
		sum = crc32.Update(sum, crc32.IEEETable, table[key])
	}
	fmt.Println("left", len(table), sum)
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
PROGRAM

CGO_ENABLED=1 go build -o "$TMP/work" "$TMP/work.go" || fail "go build: status $?"
real_program "$TMP/work" "$ITEMS"

note "without the C library"
echo 'package main; func main() { println("ran") }' >"$TMP/static.go"
CGO_ENABLED=0 go build -o "$TMP/static" "$TMP/static.go" || fail "go build: status $?"
"$PAGERCTL" run --local 64M --donor 127.0.0.1:1 --lib "$LIBRARY" -- "$TMP/static" 2>"$TMP/said" &&
	fail "it ran, and cannot have been paged"
have 'statically linked' "$TMP/said" "it was not said why: $(cat "$TMP/said")"
