/*
 * What this host has and can spare, read from /proc and /sys at the moment of asking. Any thread.
 * A figure that cannot be read is 0 for what there is, so that nothing is promised in the dark.
 */
#ifndef DONOR_HOST_H
#define DONOR_HOST_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define HOST_NO_NODE (-1)
/* The kernel is asked for this size by name, whatever its default is. */
#define HOST_HUGE_BYTES (2u << 20)

/* RAM in all. */
uint64_t host_ram_total(void);

/* RAM that could be used without swapping: the kernel's own estimate. */
uint64_t host_ram_available(void);

/*
 * RAM that may still be lent: what is available on the host, on the NUMA node unless that is
 * HOST_NO_NODE, and below the limits of this process's control groups, less a reserve.
 */
uint64_t host_ram_spare(int node);

/* Huge pages that nobody has taken or reserved. */
uint64_t host_huge_free(void);

bool host_node_exists(int node);

/* "0" or "0-1": the nodes there are, for messages. */
void host_node_list(char *out, size_t room);

/* The boot id: same bytes, same running kernel. -EIO if it cannot be read. */
int host_boot_id(uint8_t out[16]) MUST_CHECK;

/* "4.0 GiB", "512 MiB": for people. `out` has HOST_BYTES_TEXT. Returns out. */
#define HOST_BYTES_TEXT 24
const char *host_bytes_text(uint64_t bytes, char *out);

#endif
