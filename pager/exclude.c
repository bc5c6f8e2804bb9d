#include "pager/exclude.h"

#include "pager/own.h"

#include <link.h>

static void add(struct exclude *exclude, uint64_t start, uint64_t end)
{
	if (exclude->count < EXCLUDE_MAX)
		exclude->list[exclude->count++] = (struct region){
			start & ~(PAGE_BYTES - 1), (end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)};
}

/* dl_iterate_phdr(3) names the program first; its own variables may be adopted. */
static int add_library(struct dl_phdr_info *info, size_t size UNUSED, void *arg)
{
	struct exclude *exclude = arg;

	if (!exclude->main_seen) {
		exclude->main_seen = true;
		return 0;
	}
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W))
			add(exclude, info->dlpi_addr + segment->p_vaddr,
			    info->dlpi_addr + segment->p_vaddr + segment->p_memsz);
	}
	return 0;
}

void exclude_list(struct exclude *exclude, const struct stage *stage)
{
	exclude->count = 0;
	exclude->main_seen = false;
	add(exclude, stage->base, stage->base + stage_bytes(stage));
	add(exclude, own_mark_at(), own_mark_at() + PAGE_BYTES);
	dl_iterate_phdr(add_library, exclude);
}

/* The first stretch of excluded addresses in [start, end). */
static bool next_excluded(const struct exclude *exclude, uint64_t start, uint64_t end,
			  struct region *out)
{
	bool found = false;

	for (unsigned i = 0; i < exclude->count; i++) {
		struct region other = exclude->list[i];

		if (other.start >= end || other.end <= start ||
		    (found && other.start >= out->start))
			continue;
		*out = other;
		found = true;
	}
	return found;
}

bool exclude_next_allowed(const struct exclude *exclude, uint64_t start, uint64_t end,
			  struct region *out)
{
	struct region excluded = {0, 0};

	while (start < end && next_excluded(exclude, start, end, &excluded)) {
		if (excluded.start > start) {
			end = excluded.start;
			break;
		}
		start = excluded.end;
	}
	*out = (struct region){start, end};
	return start < end;
}
