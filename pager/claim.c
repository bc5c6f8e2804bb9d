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

/*
 * Whether the mapping is still what was listed: nothing more, nothing less. A part of it may be in
 * the regions already; then all of it is registered.
 */
static bool is_as_listed(const struct claim *claim, const struct stretch *stretch,
			 const struct maps_entry *entry)
{
	struct region part;

	if (entry->start > stretch->start || !claim_wants(entry) ||
	    !exclude_next_allowed(claim->exclude, stretch->start, entry->end, &part))
		return false;
	if (part.start == stretch->start && part.end == stretch->end &&
	    (entry->start == part.start ||
	     !exclude_next_allowed(claim->exclude, part.start - 1, part.start, &part)))
		return true;
	return touches_known(claim->engine, entry->start, entry->end);
}

/* False if it has changed. Before Linux 6.11 asking would take longer than it is good for. */
static bool look_once_more(const struct claim *claim, struct stretch *stretch)
{
	int maps_fd = claim->engine->maps_fd;
	struct maps_entry entry;
	int err = maps_query(maps_fd, claim->maps, stretch->start, &entry);

	if (err == -ENOTTY)
		return true;
	if (err || !is_as_listed(claim, stretch, &entry))
		return false;
	if (stretch->limit > stretch->end &&
	    maps_query(maps_fd, claim->maps, stretch->end, &entry) == 0 &&
	    entry.start < stretch->limit)
		stretch->limit = entry.start;
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
