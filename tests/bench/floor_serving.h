/*
 * A hundred-line pager built as the engine has to be: faults are served by a thread of their own,
 * for several threads of a program, over shared memory, and pages leave by UFFDIO_MOVE, so that
 * they could be written. What it leaves out is all else: it knows one mapping, writes nothing,
 * never sleeps. Next to it the same in the faulting threads (UFFD_FEATURE_SIGBUS), and other ways
 * to take out, to show what it costs. For bench_floor.
 */
#ifndef TESTS_BENCH_FLOOR_SERVING_H
#define TESTS_BENCH_FLOOR_SERVING_H

#include <stdint.h>

/*
 * Prints a line for each. While they run idle CPUs are kept awake, as the engine does, if the host
 * permits it: each line says so. Where the kernel has no UFFDIO_MOVE there is one line with the
 * reason instead.
 */
void floors_of_serving(uint64_t pages, uint64_t time_ns);

#endif
