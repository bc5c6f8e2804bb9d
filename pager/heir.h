/*
 * A child that did not come by fork(3): clone(2) by hand, _Fork. It inherits what is in memory;
 * what is out is a hole in its page table. So the fault thread of its parent places that through
 * the child's own descriptor, which came with the kernel's event, and closes it then; holes that
 * are left are filled with zeros by the kernel, rightly.
 *
 * The child runs meanwhile. Who of it touches a hole waits for us, and who changes its map waits
 * until that is read from the descriptor: until then nothing can be placed (EAGAIN). So its changes
 * are read, and pages follow them: what the child has dropped is not given, what it has moved is
 * given at the new place. A child that it makes itself meanwhile has the holes that it had, and is
 * filled after it in the same way: from its own descriptor, and with the changes up to then.
 *
 * Mappings that children have empty (MADV_WIPEONFORK) are passed over. Which those are is looked up
 * when there has ever been one: it takes milliseconds.
 *
 * If something cannot be given the child is left with SIGBUS in its place (UFFDIO_POISON), and the
 * parent ends with a line: on older kernels the child would read zeros.
 */
#ifndef PAGER_HEIR_H
#define PAGER_HEIR_H

#include "pager/fault.h"

/* The child, and those that it makes meanwhile. Fault thread, under map_lock. Closes `child`. */
void heir_fill(struct fault_thread *fault, int child);

/* The program has asked for MADV_WIPEONFORK. Any thread, also before there is an engine. */
void heir_expect_wiped(void);

/* A read into `extra` has failed. */
void heir_lost(struct fault_thread *fault);

/* Of `change[0..changes)`: where what was at `address` is now; 0: nowhere. Pure. */
uint64_t heir_follow(const struct heir *to, uint64_t address) MUST_CHECK;

#endif
