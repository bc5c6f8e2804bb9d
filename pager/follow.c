#include "pager/follow.h"

#include "common/base/log.h"
#include "pager/allowance.h"
#include "pager/engine.h"

#include <string.h>

#define ALLOWANCE_NS 200000000u /* how often it is looked up: 100 us each time */
#define MOVING_NS 100000000u
#define LEAST_PAGES (CONFIG_MIN_LOCAL >> PAGE_SHIFT)

/* With `auto` those in one control group share already, whoever started them. */
static bool may_share(const struct config *config)
{
	return config->tree[0] && config->local != CONFIG_LOCAL_AUTO;
}

void follow_begin(struct engine *engine)
{
	int err;

	engine->whole_pages = engine->budget.pages;
	if (!may_share(&engine->config))
		return;
	err = tree_join(&engine->tree, engine->config.tree);
	if (err)
		log_info("this process has the budget for itself: %s: %s", engine->config.tree,
			 strerror(-err));
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct tree_news news_of(const struct engine *engine)
{
	const struct stats_page *stats = engine->stats;
	struct tree_news news = {.used = engine_used(engine)};

	news.at_limit = news.used >= engine->budget.low;
	if (stats)
		news.faults = read_counter(&stats->major) + read_counter(&stats->minor) +
			      read_counter(&stats->refilled);
	return news;
}

static void look_up_allowance(struct engine *engine, uint64_t now_ns)
{
	if (!allowance_moves(&engine->config) || now_ns < engine->next_allowance_ns)
		return;
	engine->next_allowance_ns = now_ns + ALLOWANCE_NS;
	engine->whole_pages =
		allowance(&engine->config, engine_used(engine) << PAGE_SHIFT) >> PAGE_SHIFT;
}

uint64_t follow_turn(struct engine *engine, uint64_t now_ns)
{
	struct tree_news news = news_of(engine);
	uint64_t pages;

	look_up_allowance(engine, now_ns);
	pages = tree_turn(&engine->tree, &news, engine->whole_pages, LEAST_PAGES, now_ns);
	if (pages != engine->budget.pages)
		budget_change(&engine->budget, pages << PAGE_SHIFT);
	if (engine->stats)
		atomic_store_explicit(&engine->stats->budget_bytes, pages << PAGE_SHIFT,
				      memory_order_relaxed);
	/* Memory is on its way to where it is needed. */
	return news.at_limit && pages < engine->whole_pages ? MOVING_NS : UINT64_MAX;
}

void follow_end(struct engine *engine)
{
	tree_leave(&engine->tree);
}
