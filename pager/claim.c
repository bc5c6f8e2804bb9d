#include "pager/claim.h"

#include "pager/guard.h"

#include <errno.h>

bool claim_wants(const struct maps_entry *entry)
{
	return entry->end <= PAGE_TABLE_END &&
	       (maps_is_adoptable(entry) || maps_is_reserved(entry) || maps_is_read_only(entry));
}

static int register_range(const struct claim *claim, uint64_t start, uint64_t end)
{
	struct engine *engine = claim->engine;
	int err = uffd_register(engine->uffd, start, end - start, !engine->caps.move);

	if (err)
		return err;
	engine_lock(engine);
	guard_add(engine, start, end);
	engine_unlock(engine);
	return 0;
}

static bool touches_known(struct engine *engine, uint64_t start, uint64_t end)
{
	bool touches;

	engine_lock(engine);
	touches = regions_touch(&engine->regions, start, end);
	engine_unlock(engine);
	return touches;
}

/* ---- once more, right before ---- */

/* The part of the mapping in which the stretch begins; false if that is not to be adopted. */
static bool find_part(const struct claim *claim, const struct maps_entry *entry, uint64_t address,
		      struct region *out)
{
	uint64_t at = entry->start;

	while (at <= address && exclude_next_allowed(claim->exclude, at, entry->end, out)) {
		if (address < out->end)
			return address >= out->start;
		at = out->end;
	}
	return false;
}

/* Up to the next mapping, and no further than was listed. */
static void cut_hole(const struct claim *claim, struct stretch *stretch, bool has_hole)
{
	struct maps_entry next;

	if (!has_hole || stretch->limit < stretch->end)
		stretch->limit = stretch->end;
	if (stretch->limit == stretch->end ||
	    maps_query(claim->engine->maps_fd, claim->maps, stretch->end, &next))
		return;
	if (next.start <= stretch->end)
		stretch->limit = stretch->end;
	else if (next.start < stretch->limit)
		stretch->limit = next.start;
}

/*
 * The stretch becomes what is there now: it may have grown at either end. Where a part of the
 * mapping is in the regions already all of it is registered, and a part may be, too. False if it is
 * gone. Before Linux 6.11 asking would take longer than it is good for.
 */
static bool look_once_more(const struct claim *claim, struct stretch *stretch)
{
	bool has_hole = stretch->limit > stretch->end;
	struct maps_entry entry;
	struct region part;
	int err = maps_query(claim->engine->maps_fd, claim->maps, stretch->start, &entry);

	if (err == -ENOTTY)
		return true;
	if (err || entry.start > stretch->start || !claim_wants(&entry) ||
	    !find_part(claim, &entry, stretch->start, &part))
		return false;
	if (!touches_known(claim->engine, entry.start, entry.end)) {
		stretch->start = part.start;
		stretch->end = part.end;
	}
	cut_hole(claim, stretch, has_hole && stretch->end >= part.end && part.end == entry.end);
	return true;
}

/* ---- the other half ---- */

/* A mapping at `at`, ours by its kind, that ends or begins at the border and is in no region. */
static bool is_other_half(const struct claim *claim, uint64_t border, uint64_t at,
			  struct maps_entry *out)
{
	struct region part;

	return maps_find(claim->engine->maps_fd, claim->maps, at, out) == 0 && out->start <= at &&
	       claim_wants(out) && (out->start == border || out->end == border) &&
	       exclude_next_allowed(claim->exclude, out->start, out->end, &part) &&
	       part.start == out->start && part.end == out->end &&
	       !touches_known(claim->engine, at, at + 1);
}

/*
 * What the program has mapped just now may lie across a border of what has been registered. The
 * next turn enters the other half.
 */
static bool mend_border(const struct claim *claim, uint64_t border, uint64_t at)
{
	struct maps_entry entry;

	return is_other_half(claim, border, at, &entry) &&
	       register_range(claim, entry.start, entry.end) == 0;
}

static enum claimed claim(const struct claim *claim, struct stretch *stretch)
{
	bool more;
	int err;

	if (!look_once_more(claim, stretch))
		return CLAIM_CHANGED;
	err = register_range(claim, stretch->start, stretch->limit);
	if (err && stretch->limit > stretch->end) { /* not a hole any more */
		stretch->limit = stretch->end;
		err = register_range(claim, stretch->start, stretch->end);
	}
	if (err)
		return CLAIM_REFUSED;
	more = mend_border(claim, stretch->start, stretch->start - 1);
	more = mend_border(claim, stretch->limit, stretch->limit) || more;
	return more ? CLAIM_MORE : CLAIM_DONE;
}

enum claimed claim_stretch(const struct claim *claims, struct stretch *stretch)
{
	enum claimed claimed;

	gate_close(&claims->engine->moves);
	claimed = claim(claims, stretch);
	gate_open(&claims->engine->moves);
	return claimed;
}
