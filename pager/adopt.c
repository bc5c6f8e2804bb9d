/*
 * Everything private and anonymous is adopted, if it can be written or cannot be touched at all (a
 * reservation, which will be written where the program opens it), but for what the engine itself
 * stands on (exclude.h).
 *
 * The program goes on changing its map while we read it. So it is done in three steps:
 *
 *   list      what /proc/self/maps shows that is in no region
 *   register  each stretch, and the hole behind it (claim.h)
 *   settle    what there is in a stretch now, and whether it is ours: the kernel is asked to place
 *             a zero page where we know of none, and refuses outside of what we have registered.
 *             If no change was on its way before and after, all of that mapping was registered and
 *             still is: it goes into the books.
 *
 * Registering makes the pages that are missing fault to us; look.h finds those that are there.
 */
#include "pager/adopt.h"

#include "common/base/clock.h"
#include "pager/claim.h"
#include "pager/guard.h"
#include "pager/look.h"
#include "pager/maps.h"
#include "pager/own.h"

#include <errno.h>
#include <time.h>

#define MIN_BYTES (64u * 1024) /* smaller mappings are not worth an entry; a guess */
#define MAX_LISTED 65536u      /* vm.max_map_count is as much by default */
#define MAX_WANTED 1024u       /* in one turn; the rest in the next */
/* Mappings in one stretch: more than one are new; the rest come in the next turn. */
#define MAX_FOUND 16u
#define LOOK_NS 1000000u /* of looking between two turns: the program grows meanwhile */

#define AGAIN_NS 1000000000u /* between looks for pages that got past us */
#define UNKNOWN_PAGES 1024u  /* so many untracked pages are worth such a look */

#define CALM_TRIES 20u	 /* for a program that changes its map all the time */
#define CALM_NS 20000u	 /* between them */
#define GROWN_PAGES 256u /* grown by mprotect(2), the address space is as large as before */

#define NO_LIMIT UINT64_MAX

struct adopter {
	struct engine *engine;
	struct looker *looker;
	char *maps; /* for maps_each() and maps_find() */
	struct exclude exclude;
	struct stretch *listed; /* MAX_LISTED: what may be adopted, or is */
	unsigned listed_count;
	struct stretch wanted[MAX_WANTED];
	unsigned wanted_count;
	struct maps_entry found[MAX_FOUND]; /* parts of mappings in a stretch */
	unsigned found_count;
	uint64_t seen_size;  /* pages of address space at the last look */
	uint64_t seen_other; /* pages not adopted at the last look */
	uint64_t again_ns;
	uint64_t known_other; /* pages that stayed unknown after the last look */
	bool looking;	      /* there is more to look at */
	bool recount;	      /* known_other is to be set when all is looked at */
	bool changed;	      /* something was left for the next turn */
};

int adopt_open(struct engine *engine)
{
	struct adopter *adopter = own_alloc(sizeof(*adopter));

	if (!adopter)
		return -ENOMEM;
	adopter->engine = engine;
	adopter->maps = own_alloc(MAPS_BUFFER_BYTES + MAPS_NAME_BYTES);
	adopter->listed = own_reserve(MAX_LISTED * sizeof(adopter->listed[0]));
	engine->adopter = adopter;
	return adopter->maps && adopter->listed ? look_open(engine, &adopter->looker) : -ENOMEM;
}

/* ---- list ---- */

/* The hole behind the stretch listed last ends here; the stack grows into the one below it. */
static void end_hole(struct adopter *adopter, const struct maps_entry *entry)
{
	struct stretch *last = &adopter->listed[adopter->listed_count - 1];

	if (last->limit == NO_LIMIT)
		last->limit = maps_is_stack(entry) ? last->end : entry->start;
}

/* Notes the parts of a mapping that may be adopted. */
static void list_entry(void *arg, const struct maps_entry *entry)
{
	struct adopter *adopter = arg;
	struct region part;

	if (adopter->listed_count)
		end_hole(adopter, entry);
	for (uint64_t at = entry->start;
	     claim_wants(entry) && at < entry->end &&
	     exclude_next_allowed(&adopter->exclude, at, entry->end, &part);
	     at = part.end) {
		if (adopter->listed_count == MAX_LISTED)
			return; /* more than the books have room for */
		adopter->listed[adopter->listed_count++] = (struct stretch){
			part.start, part.end, part.end == entry->end ? NO_LIMIT : part.end};
	}
}

/* The program may take a small mapping for part of what adjoins it. Under map_lock. */
static bool is_worth_it(const struct regions *regions, const struct stretch *stretch)
{
	return stretch->end - stretch->start >= MIN_BYTES ||
	       regions_contain(regions, stretch->start - 1) ||
	       regions_contain(regions, stretch->end);
}

/* Those parts of a stretch that are in no region. Under map_lock. */
static void want_gaps(struct adopter *adopter, const struct stretch *stretch)
{
	const struct regions *regions = &adopter->engine->regions;
	struct region gap;

	for (uint64_t at = stretch->start; regions_gap(regions, at, stretch->end, &gap);
	     at = gap.end) {
		if (adopter->wanted_count == MAX_WANTED) {
			adopter->changed = true;
			return;
		}
		adopter->wanted[adopter->wanted_count++] = (struct stretch){
			gap.start, gap.end, gap.end == stretch->end ? stretch->limit : gap.end};
	}
}

static int list(struct adopter *adopter)
{
	int err;

	adopter->listed_count = adopter->wanted_count = 0;
	err = maps_each(adopter->engine->maps_fd, adopter->maps, list_entry, adopter);
	if (err)
		return err;
	engine_lock(adopter->engine);
	for (unsigned i = 0; i < adopter->listed_count; i++)
		if (is_worth_it(&adopter->engine->regions, &adopter->listed[i]))
			want_gaps(adopter, &adopter->listed[i]);
	engine_unlock(adopter->engine);
	return 0;
}

/* ---- register ---- */

/*
 * While the donors are being connected another thread of the engine maps memory, which must not be
 * registered with a hole.
 */
static bool holes_are_free(const struct engine *engine)
{
	return atomic_load(&engine->phase) == ENGINE_ACTIVE;
}

static void register_all(struct adopter *adopter)
{
	const struct claim claim = {adopter->engine, &adopter->exclude, adopter->maps};
	bool with_holes = holes_are_free(adopter->engine);
	unsigned kept = 0;

	for (unsigned i = 0; i < adopter->wanted_count; i++) {
		struct stretch stretch = adopter->wanted[i];
		enum claimed claimed;

		if (stretch.limit > PAGE_TABLE_END || !with_holes)
			stretch.limit = stretch.end;
		claimed = claim_stretch(&claim, &stretch);
		if (claimed == CLAIM_DONE || claimed == CLAIM_MORE)
			adopter->wanted[kept++] = stretch;
		if (claimed == CLAIM_CHANGED || claimed == CLAIM_MORE)
			adopter->changed = true;
	}
	adopter->wanted_count = kept;
}

/* ---- settle ---- */

/* Notes the parts of one mapping that may be adopted. */
static void find_in(struct adopter *adopter, const struct maps_entry *entry, uint64_t start,
		    uint64_t end)
{
	struct region part;

	for (; start < end && exclude_next_allowed(&adopter->exclude, start, end, &part);
	     start = part.end) {
		if (adopter->found_count == MAX_FOUND) {
			adopter->changed = true;
			return;
		}
		adopter->found[adopter->found_count] = *entry;
		adopter->found[adopter->found_count].start = part.start;
		adopter->found[adopter->found_count].end = part.end;
		adopter->found_count++;
	}
}

/* What is mapped in the stretch now. */
static void find(struct adopter *adopter, const struct stretch *stretch)
{
	struct maps_entry entry;

	adopter->found_count = 0;
	for (uint64_t at = stretch->start; at < stretch->limit; at = entry.end) {
		if (maps_find(adopter->engine->maps_fd, adopter->maps, at, &entry) ||
		    entry.start >= stretch->limit)
			return;
		if (claim_wants(&entry))
			find_in(adopter, &entry, entry.start > at ? entry.start : at,
				entry.end < stretch->limit ? entry.end : stretch->limit);
	}
}

/* Whether the mapping at an address of which the books know nothing is ours. Under map_lock. */
static int ask_at(struct engine *engine, uint64_t address)
{
	const struct page *page = page_find(engine->table, address);
	uint64_t done;
	int err;

	if (page && page->state != PAGE_NONE)
		return -EAGAIN;
	err = uffd_zero(engine->uffd, address, PAGE_BYTES, &done);
	return err == -EEXIST ? 0 : err;
}

/* The same for all that was found. What is not ours is forgotten. Under map_lock. */
static int ask(struct adopter *adopter)
{
	struct engine *engine = adopter->engine;
	unsigned kept = 0;
	int err;

	for (unsigned i = 0; i < adopter->found_count; i++) {
		struct maps_entry found = adopter->found[i];
		struct region gap;

		if (!regions_gap(&engine->regions, found.start, found.end, &gap))
			continue;
		if (remap_meets(&engine->remap, found.start, found.end))
			return -EAGAIN; /* what was there is being put back: strays.h */
		err = ask_at(engine, gap.start);
		if (err == -EAGAIN)
			return err;
		if (err) /* the next turn will see what it is */
			adopter->changed = true;
		else
			adopter->found[kept++] = found;
	}
	adopter->found_count = kept;
	return 0;
}

/* Whether no change of the map is on its way. Under map_lock, so none is entered either. */
static bool is_calm(const struct engine *engine)
{
	return !engine->unsettled && !uffd_is_changing(engine->uffd, engine->stage.base);
}

/* Enters what is in one stretch. -EAGAIN if the map is changing. */
static int settle(struct adopter *adopter, const struct stretch *stretch)
{
	struct engine *engine = adopter->engine;
	int err = -EAGAIN;

	engine_lock(engine);
	if (is_calm(engine)) {
		find(adopter, stretch);
		err = ask(adopter);
	}
	if (!err && !is_calm(engine))
		err = -EAGAIN;
	for (unsigned i = 0; i < adopter->found_count && !err; i++) {
		err = regions_add(&engine->regions, adopter->found[i].start, adopter->found[i].end);
		guard_add(engine, adopter->found[i].start, adopter->found[i].end);
	}
	engine_unlock(engine);
	if (err == -ENOSPC)
		engine_end(engine, "the program has too many mappings", stretch->start);
	for (unsigned i = 0; i < adopter->found_count && !err; i++) {
		if (adopter->found[i].write)
			look_add(adopter->looker, adopter->found[i].start, adopter->found[i].end);
	}
	return err;
}

/* Those that are in the books leave the list. */
static void settle_some(struct adopter *adopter)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < adopter->wanted_count; i++) {
		struct stretch stretch = adopter->wanted[i];

		if (settle(adopter, &stretch) == -EAGAIN)
			adopter->wanted[kept++] = stretch;
	}
	adopter->wanted_count = kept;
}

static void settle_all(struct adopter *adopter)
{
	const struct timespec moment = {.tv_nsec = CALM_NS};

	settle_some(adopter);
	for (unsigned i = 0; adopter->wanted_count && i < CALM_TRIES; i++) {
		nanosleep(&moment, NULL);
		settle_some(adopter);
	}
	adopter->changed = adopter->changed || adopter->wanted_count;
}

static void adopt(struct adopter *adopter)
{
	adopter->changed = false;
	exclude_list(&adopter->exclude, &adopter->engine->stage);
	if (list(adopter))
		adopter->changed = true;
	register_all(adopter);
	settle_all(adopter);
}

/* ---- looking again ---- */

static void look_entry(void *arg, const struct maps_entry *entry)
{
	struct adopter *adopter = arg;

	if (maps_is_adoptable(entry) && entry->end <= PAGE_TABLE_END)
		look_add(adopter->looker, entry->start, entry->end);
}

/* Pages that lie in our regions and nobody knows: left by MADV_FREE, or passed over by a look. */
static void look_again(struct adopter *adopter)
{
	if (adopter->looking || adopter->recount ||
	    atomic_load(&adopter->engine->other_pages) <= adopter->known_other + UNKNOWN_PAGES ||
	    clock_ns() - adopter->again_ns < AGAIN_NS)
		return;
	if (maps_each(adopter->engine->maps_fd, adopter->maps, look_entry, adopter))
		return;
	adopter->recount = true;
	adopter->again_ns = clock_ns();
}

/* Some pages stay unknown whatever we do: no reason to look for them again and again. */
static void count_unknown(struct adopter *adopter)
{
	if (!adopter->recount || adopter->looking)
		return;
	adopter->recount = false;
	adopter->known_other =
		look_passed_over(adopter->looker) ? 0 : atomic_load(&adopter->engine->other_pages);
}

bool adopt_turn(struct engine *engine, uint64_t size_pages)
{
	struct adopter *adopter = engine->adopter;
	uint64_t other = atomic_load(&engine->other_pages);

	count_unknown(adopter);
	if (other < adopter->seen_other)
		adopter->seen_other = other;
	if (atomic_exchange(&engine->look_wanted, false) || size_pages != adopter->seen_size ||
	    adopter->changed || other >= adopter->seen_other + GROWN_PAGES) {
		adopter->seen_other = other;
		adopter->seen_size = size_pages;
		adopt(adopter);
	}
	look_again(adopter);
	adopter->looking = look_step(adopter->looker, clock_ns() + LOOK_NS);
	return adopter->looking;
}

/* ---- letting go ---- */

static void let_go(struct engine *engine, uint64_t start, uint64_t end)
{
	engine_drop_range(engine, start, end);
	/* A part that is gone by now is not ours any more either. */
	if (uffd_unregister(engine->uffd, start, end - start))
		log_debug("unregistering: the map has changed");
}

void adopt_undo(struct engine *engine)
{
	struct adopter *adopter = engine->adopter;
	struct regions *regions = &engine->regions;

	engine_lock(engine);
	for (unsigned i = 0; i < regions->count; i++)
		let_go(engine, regions->list[i].start, regions->list[i].end);
	for (unsigned i = 0; i < adopter->wanted_count; i++)
		let_go(engine, adopter->wanted[i].start, adopter->wanted[i].limit);
	regions_init(regions, regions->list, regions->room);
	engine_unlock(engine);
	adopter->seen_size = 0;
}
