#include "pager/care.h"

#include "common/base/clock.h"
#include "pager/thread.h"

#include <unistd.h>

static bool is_to_begin(const struct engine *engine)
{
	uint32_t phase = atomic_load(&engine->phase);

	return phase == ENGINE_ACTIVE || phase == ENGINE_UNPAGED;
}

static void wait_to_begin(struct engine *engine)
{
	uint32_t seen = atomic_load(&engine->care_word);

	while (!is_to_begin(engine)) {
		futex_sleep(&engine->care_word, seen, 0);
		seen = atomic_load(&engine->care_word);
	}
}

/* The store first: it may know better why a page is lost, and ends the program itself. */
static uint64_t turn(struct engine *engine)
{
	uint64_t pause = store_care(engine->store);

	atomic_store_explicit(&engine->cared_ns, clock_ns(), memory_order_relaxed);
	engine_end_if_wanted(engine);
	store_stats(engine->store, engine->stats);
	return pause;
}

static void *run(void *arg)
{
	struct engine *engine = arg;
	uint32_t seen;

	thread_be_prompt();
	engine_thread_ready(engine);
	wait_to_begin(engine);
	atomic_store(&engine->last_tid, (uint32_t)gettid());
	while (atomic_load(&engine->phase) == ENGINE_ACTIVE) {
		seen = atomic_load(&engine->care_word);
		futex_sleep(&engine->care_word, seen, turn(engine));
	}
	return NULL;
}

int care_start(struct engine *engine)
{
	return thread_start(run, engine);
}
