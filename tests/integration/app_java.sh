#!/bin/bash
# The Java virtual machine: collectors that move what they find, protect pages to stop threads and give
# memory back; compiled code; many threads of its own.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need java

ITEMS=$(sized 30000 90000 1000000)
HEAP=$(sized 48 128 1024)m

cat >"$TMP/Work.java" <<'PROGRAM'
import java.util.*;

public class Work {
    static final int THREADS = 4;

    static byte[] item(int seed, int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++)
            bytes[i] = (byte) (seed * 31 + i);
        return bytes;
    }

    public static void main(String[] args) throws Exception {
        int items = Integer.parseInt(args[0]);
        HashMap<Integer, byte[]> table = new HashMap<>();
        long sum = 0;
        for (int i = 0; i < items; i++)
            table.put(i, item(i, 100 + i % 200));
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < items; i++) {
                int key = (int) (i * 7919L % items);
                byte[] bytes = table.get(key);
                sum = sum * 31 + bytes[i % bytes.length];
                if (i % 7 == round)
                    table.put(key, item(key + round, 100 + i % 100));
            }
        }
        System.out.println("walked " + sum);
        long[] sums = new long[THREADS];
        Thread[] threads = new Thread[THREADS];
        for (int t = 0; t < THREADS; t++) {
            int first = t;
            threads[t] = new Thread(() -> {
                ArrayList<String> texts = new ArrayList<>();
                for (int i = first; i < items; i += THREADS) {
                    sums[first] += Arrays.hashCode(table.get(i));
                    if (i % 16 == first)
                        texts.add("item " + i + Arrays.hashCode(table.get(i)));
                }
                Collections.sort(texts);
                sums[first] = sums[first] * 31 + texts.hashCode();
            });
            threads[t].start();
        }
        for (Thread thread : threads)
            thread.join();
        System.out.println("in threads " + Arrays.toString(sums));
    }
}
PROGRAM

# Java compiles it as part of the run: half a million faults more, and at a quarter it may be some of a
# collector's: not where each takes a millisecond.
WORK=("$TMP/Work.java")
if [ "$SIZE" = small ]; then
	java -m jdk.compiler/com.sun.tools.javac.Main -d "$TMP" "$TMP/Work.java" || fail "it does not compile"
	WORK=(-cp "$TMP" Work)
	SHARES=2
fi

collected_by() {
	note "$1"
	real_program java "-Xmx$HEAP" "-Xms$HEAP" "-XX:+Use$1" -XX:-UsePerfData "${WORK[@]}" "$ITEMS"
}

collected_by G1GC
SHARES=${SHARES%% *} TRANSPORTS=${TRANSPORTS%% *}
collected_by SerialGC
