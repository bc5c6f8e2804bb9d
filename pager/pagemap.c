#include "pager/pagemap.h"

#include "pager/page_table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRESENT ((uint64_t)1 << 63)
#define SWAPPED ((uint64_t)1 << 62)
#define OF_FILE ((uint64_t)1 << 61)
#define PROTECTED ((uint64_t)1 << 57)
#define GUARDED \
	((uint64_t)1 << 58) /* MADV_GUARD_INSTALL; Linux 6.15, which shows it as swapped, too */

/* Newer than the headers of Debian 12, as what follows; this from Linux 6.13. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* From include/uapi/linux/fs.h of Linux 6.7. */
struct pagemap_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pagemap_scan {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN _IOWR('f', 16, struct pagemap_scan)

int pagemap_open(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

unsigned pagemap_read(int fd, uint64_t start, unsigned pages, uint64_t *entries)
{
	ssize_t got = pread(fd, entries, pages * sizeof(entries[0]),
			    (off_t)((start >> PAGE_SHIFT) * sizeof(entries[0])));

	return got > 0 ? (unsigned)((size_t)got / sizeof(entries[0])) : 0;
}

bool pagemap_is_of_file(uint64_t entry)
{
	return entry & OF_FILE;
}

bool pagemap_is_there(uint64_t entry)
{
	return entry & (PRESENT | SWAPPED) && !(entry & GUARDED);
}

bool pagemap_is_guarded(uint64_t entry)
{
	return entry & GUARDED;
}

bool pagemap_page_is_guarded(int fd, uint64_t address)
{
	uint64_t entry;

	return pagemap_read(fd, address, 1, &entry) == 1 && pagemap_is_guarded(entry);
}

bool pagemap_has_guards(void)
{
	return madvise(NULL, 0, MADV_GUARD_INSTALL) == 0; /* of nothing: is the advice known? */
}

unsigned pagemap_free(int fd, uint64_t start, unsigned pages)
{
	uint64_t entries[PAGEMAP_FREE_MAX];
	unsigned n = pagemap_read(fd, start, pages, entries), i = 0;

	while (i < n && !(entries[i] & (PRESENT | SWAPPED)))
		i++;
	return i;
}

bool pagemap_is_protected(uint64_t entry)
{
	return entry & PROTECTED;
}

bool pagemap_page_is_there(int fd, uint64_t address)
{
	uint64_t entry;

	return pagemap_read(fd, address, 1, &entry) != 1 || pagemap_is_there(entry);
}

uint64_t pagemap_next(int fd, uint64_t start, uint64_t end)
{
	struct pagemap_region found = {0, 0, 0};
	struct pagemap_scan scan = {
		.size = sizeof(scan),
		.start = start,
		.end = end,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.max_pages = 1,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT | SCAN_SWAPPED,
	};
	int got = ioctl(fd, SCAN, &scan);

	if (got < 0)
		return start;
	return got ? found.start : end;
}
