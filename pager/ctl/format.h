/* Numbers for people: short, three or four digits, always with their unit. Pure. */
#ifndef PAGER_CTL_FORMAT_H
#define PAGER_CTL_FORMAT_H

#include "common/base/hist.h"

#include <stddef.h>
#include <stdint.h>

#define FORMAT_BYTES 24 /* room for any of them */

/* "0 B", "1023 B", "4.0 KiB", "256.0 MiB", "1.5 TiB". Returns out, for use in an argument list. */
const char *format_size(uint64_t bytes, char out[FORMAT_BYTES]);

/* "640 ns", "5.3 us", "12.0 ms", "1.5 s". */
const char *format_duration(uint64_t ns, char out[FORMAT_BYTES]);

/* hist_percentile() gives the upper edge of a step; no one value was larger than the largest. */
uint64_t format_percentile(const struct hist *hist, double share);

/*
 * Replaces by '?' what is no printable ASCII. A process chooses its own name, and what is shown to
 * somebody else must be neither a command to the terminal nor broken UTF-8, which JSON refuses.
 */
void format_plain(char *text);

#endif
