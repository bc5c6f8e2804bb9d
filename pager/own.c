#include "pager/own.h"

#include "common/base/fault_point.h"
#include "common/base/lock.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Small pieces come from chunks, by power of two, and go back to a list of their size; large ones
 * are mappings of their own. Everything is a memfd, so that /proc/PID/maps says whose it is.
 */
#define CHUNK_BYTES (64u * 1024)
/* By so much a table is opened: 340 MiB of the program in the page table. */
#define STEP_BYTES ((size_t)4 << 20)
#define SMALLEST_SHIFT 6
#define LARGEST_SHIFT 11 /* 2048; from a page on, a mapping */
#define CLASSES (LARGEST_SHIFT - SMALLEST_SHIFT + 1)

struct piece {
	struct piece *next;
};

static struct {
	struct lock lock;
	char *chunk; /* what is left of the current chunk */
	size_t left;
	struct piece *spare[CLASSES];
	size_t bytes;
} own;

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

static void *map_shared(size_t bytes, int protection)
{
	int fd = memfd_create("libpager", MFD_CLOEXEC);
	void *at = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0)
		at = mmap(NULL, bytes, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (at == MAP_FAILED) /* no memfd here, or no descriptor left */
		at = mmap(NULL, bytes, protection, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			  0);
	if (at == MAP_FAILED)
		return NULL;
	(void)madvise(at, bytes, MADV_DONTFORK);
	(void)madvise(at, bytes, MADV_DONTDUMP);
	return at;
}

static unsigned class_of(size_t bytes)
{
	unsigned shift = SMALLEST_SHIFT;

	while (((size_t)1 << shift) < bytes)
		shift++;
	return shift - SMALLEST_SHIFT;
}

static void *small_take(unsigned class)
{
	size_t bytes = (size_t)1 << (class + SMALLEST_SHIFT);
	struct piece *piece = own.spare[class];
	void *at;

	if (piece) {
		own.spare[class] = piece->next;
		return piece;
	}
	if (own.left < bytes) {
		at = map_shared(CHUNK_BYTES, PROT_READ | PROT_WRITE);
		if (!at)
			return NULL;
		own.chunk = at;
		own.left = CHUNK_BYTES;
	}
	at = own.chunk;
	own.chunk += bytes;
	own.left -= bytes;
	return at;
}

static void *small_alloc(size_t bytes)
{
	unsigned class = class_of(bytes);
	void *at;

	lock_acquire(&own.lock);
	at = small_take(class);
	if (at)
		own.bytes += bytes;
	lock_release(&own.lock);
	if (at)
		memset(at, 0, bytes);
	return at;
}

void *own_alloc(size_t bytes)
{
	void *at;

	if (FAULT_POINT())
		return NULL;
	if (bytes <= (size_t)1 << LARGEST_SHIFT)
		return small_alloc(bytes);
	at = map_shared(round_up(bytes, PAGE_BYTES), PROT_READ | PROT_WRITE);
	if (at) {
		lock_acquire(&own.lock);
		own.bytes += bytes;
		lock_release(&own.lock);
	}
	return at;
}

void own_free(void *ptr, size_t bytes)
{
	unsigned class;

	if (!ptr)
		return;
	if (bytes > (size_t)1 << LARGEST_SHIFT)
		munmap(ptr, round_up(bytes, PAGE_BYTES));
	lock_acquire(&own.lock);
	own.bytes -= bytes;
	if (bytes <= (size_t)1 << LARGEST_SHIFT) {
		class = class_of(bytes);
		((struct piece *)ptr)->next = own.spare[class];
		own.spare[class] = ptr;
	}
	lock_release(&own.lock);
}

/*
 * After mlockall(MCL_FUTURE) the kernel fills each new mapping that can be touched. So these are
 * closed at first, and not locked.
 */
static void *reserve(size_t bytes)
{
	void *at = FAULT_POINT() ? NULL : map_shared(bytes, PROT_NONE);

	if (at)
		(void)munlock(at, bytes);
	return at;
}

void *own_reserve(size_t bytes)
{
	size_t rounded = round_up(bytes, PAGE_BYTES);
	void *at = reserve(rounded);

	if (at && mprotect(at, rounded, PROT_READ | PROT_WRITE)) {
		munmap(at, rounded);
		at = NULL;
	}
	return at;
}

void own_unreserve(void *ptr, size_t bytes)
{
	if (ptr)
		munmap(ptr, round_up(bytes, PAGE_BYTES));
}

int own_table_reserve(struct own_table *table, size_t bytes)
{
	*table = (struct own_table){.reserved = round_up(bytes, STEP_BYTES)};
	table->base = reserve(table->reserved);
	return table->base ? 0 : -ENOMEM;
}

void own_table_release(struct own_table *table)
{
	own_unreserve(table->base, table->reserved);
	table->base = NULL;
}

bool own_table_open(struct own_table *table, size_t bytes)
{
	size_t open = table->open;

	if (LIKELY(bytes <= open))
		return true;
	while (open < bytes)
		open += STEP_BYTES;
	if (open > table->reserved || mprotect(table->base, open, PROT_READ | PROT_WRITE))
		return false;
	table->open = open;
	return true;
}

size_t own_bytes(void)
{
	size_t bytes;

	lock_acquire(&own.lock);
	bytes = own.bytes;
	lock_release(&own.lock);
	return bytes;
}

void *own_tp_alloc(void *arg UNUSED, size_t bytes)
{
	return own_alloc(bytes);
}

void own_tp_free(void *arg UNUSED, void *ptr, size_t bytes)
{
	own_free(ptr, bytes);
}

static _Atomic uint32_t *mark;

int own_mark(void)
{
	const size_t bytes = PAGE_BYTES;
	void *at = mark;

	if (!at)
		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return -ENOMEM;
	if (syscall(SYS_madvise, at, bytes, MADV_WIPEONFORK)) { /* not as the program's: heir.h */
		munmap(at, bytes);
		return -errno;
	}
	mark = at;
	atomic_store(mark, 1);
	return 0;
}

bool own_is_here(void)
{
	return mark && atomic_load_explicit(mark, memory_order_relaxed);
}

uint64_t own_mark_at(void)
{
	return (uintptr_t)mark;
}

void own_reset(void)
{
	memset(&own, 0, sizeof(own));
}
