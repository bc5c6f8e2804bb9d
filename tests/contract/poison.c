#include "tests/contract/poison.h"

#include "common/base/compiler.h"
#include "pager/maps.h"

#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#ifdef SANITIZED
const char *const poison_impossible = "the sanitizer's own memory would be taken away";
#else
const char *const poison_impossible = NULL;
#endif

#define MAX_RANGES 4096
/* Of the C library's struct pthread, which begins where the thread pointer points to; with room. */
#define THREAD_BYTES 8192

struct range {
	uint64_t start, end;
};

static struct range poisoned[MAX_RANGES], spared[MAX_RANGES];
static unsigned poisoned_count, spared_count;
static char buffer[MAPS_BUFFER_BYTES];

static void spare(uint64_t start, uint64_t end)
{
	if (spared_count == MAX_RANGES)
		abort();
	spared[spared_count++] = (struct range){start, end};
}

/* Only of the program's own namespace: others are not iterated over. */
static int spare_variables(struct dl_phdr_info *object, size_t size UNUSED, void *arg UNUSED)
{
	unsigned i;

	for (i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uint64_t start = object->dlpi_addr + segment->p_vaddr;

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W))
			spare(start, start + segment->p_memsz);
	}
	return 0;
}

/* What lies behind all that is to be left alone: the heap may follow the program's variables. */
static uint64_t behind_spared(const struct maps_entry *entry)
{
	uint64_t start = entry->start;
	unsigned i;

	for (i = 0; i < spared_count; i++) {
		if (spared[i].start < entry->end && start < spared[i].end)
			start = (spared[i].end + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
	}
	return start;
}

static void note(void *arg, const struct maps_entry *entry)
{
	uint64_t start = behind_spared(entry);
	size_t *bytes = arg;

	if (!maps_is_adoptable(entry) || start >= entry->end)
		return;
	if (poisoned_count == MAX_RANGES)
		abort();
	poisoned[poisoned_count++] = (struct range){start, entry->end};
	*bytes += entry->end - start;
}

static void protect_all(int protection)
{
	unsigned i;

	for (i = 0; i < poisoned_count; i++) {
		if (mprotect((void *)poisoned[i].start, poisoned[i].end - poisoned[i].start,
			     protection))
			abort();
	}
}

size_t poison_lay(void)
{
	uint64_t self = (uint64_t)__builtin_thread_pointer(), stack = (uint64_t)&self;
	size_t bytes = 0;
	int fd = maps_open();

	poisoned_count = 0;
	spared_count = 0;
	spare(self, self + THREAD_BYTES);
	spare(stack, stack + 1);
	dl_iterate_phdr(spare_variables, NULL);
	if (fd < 0 || maps_each(fd, buffer, note, &bytes) < 0)
		abort();
	close(fd);
	protect_all(PROT_NONE);
	return bytes;
}

void poison_lift(void)
{
	protect_all(PROT_READ | PROT_WRITE);
}
