/*
 * The process's own map, read from /proc/self/maps (proc_pid_maps(5)) without malloc or stdio, and
 * the question which mappings the engine may adopt.
 */
#ifndef PAGER_MAPS_H
#define PAGER_MAPS_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct maps_entry {
	uint64_t start, end;
	bool read, write, exec, shared;
	uint64_t inode;
	const char *name; /* "" if it has none; not terminated: see name_len */
	size_t name_len;
};

/* Reads one line (without its newline). False if it is not one. Pure. */
bool maps_parse_line(const char *line, size_t len, struct maps_entry *out) MUST_CHECK;

/*
 * Private, anonymous, readable and writable, not executable (UFFDIO_MOVE wants equal protections),
 * not the main stack, not made by the kernel. Pure.
 */
bool maps_is_adoptable(const struct maps_entry *entry);

/*
 * Private, anonymous, and not to be touched until the program opens it with mprotect(2): the rest
 * of an allocator's arena. Pure.
 */
bool maps_is_reserved(const struct maps_entry *entry);

/*
 * Private, anonymous, and not to be written until the program opens it: perhaps part of a mapping
 * that it has closed for a moment. Pure.
 */
bool maps_is_read_only(const struct maps_entry *entry);

bool maps_is_stack(const struct maps_entry *entry);

#define MAPS_BUFFER_BYTES (64u * 1024)
#define MAPS_NAME_BYTES 4352u /* PATH_MAX and " (deleted)" or the like; longer ones are cut */

/*
 * Descriptors for what follows: of the map, and of its sizes. To be kept open: a process that gives
 * up its privileges may not be allowed to open them again.
 */
int maps_open(void) MUST_CHECK;
int maps_open_usage(void) MUST_CHECK;

/* Calls fn for each mapping. `buffer` has MAPS_BUFFER_BYTES. 0 or a negative errno. */
typedef void maps_fn(void *arg, const struct maps_entry *entry);
int maps_each(int fd, char *buffer, maps_fn *fn, void *arg) MUST_CHECK;

/*
 * The mapping that covers the address, or else the next one; -ENOENT if there is none. Its name is
 * in `buffer` (MAPS_BUFFER_BYTES and MAPS_NAME_BYTES). A microsecond from Linux 6.11 on
 * (PROCMAP_QUERY); before that all of the map is read.
 */
int maps_find(int fd, char *buffer, uint64_t address, struct maps_entry *out) MUST_CHECK;
/* The same, but for -ENOTTY before Linux 6.11. */
int maps_query(int fd, char *buffer, uint64_t address, struct maps_entry *out) MUST_CHECK;

/*
 * Calls fn for each mapping that children have empty (MADV_WIPEONFORK), without its name. Slow: the
 * kernel counts all pages for it. maps_parse_wiped() tells such a line of smaps, and is pure.
 */
int maps_open_smaps(void) MUST_CHECK;
int maps_each_wiped(int smaps_fd, char *buffer, maps_fn *fn, void *arg) MUST_CHECK;
bool maps_parse_wiped(const char *line, size_t len);

/*
 * KiB of the process that are pinned for long, or locked (/proc/self/status; proc_pid_status(5)); 0
 * if that cannot be read. Reads with O_DIRECT do not count as pinned. The descriptor is to be kept
 * open, too; maps_parse_kib() looks for a line's name in `len` bytes of that file, and is pure.
 */
#define MAPS_PINNED "\nVmPin:"
#define MAPS_LOCKED "\nVmLck:"

int maps_open_status(void) MUST_CHECK;
uint64_t maps_parse_kib(const char *status, size_t len, const char *name);
uint64_t maps_kib(int status_fd, const char *name);

/* Pages of the process: all address space, and resident private anonymous ones (statm). */
int maps_usage(int usage_fd, uint64_t *size_pages, uint64_t *anon_pages) MUST_CHECK;

#endif
