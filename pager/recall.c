#include "pager/recall.h"

#include "common/base/clock.h"
#include "common/base/group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What must stay free beyond what comes home, on the host and in the control group. Guesses. */
#define SPARE_BYTES (64ull << 20)
#define GROUP_SPARE_BYTES (16ull << 20)
#define WAIT_NS 100000000u

static uint64_t out_pages(const struct engine *engine)
{
	return page_count(engine->table, PAGE_REMOTE) + page_count(engine->table, PAGE_FETCHING) +
	       page_count(engine->table, PAGE_FILLED);
}

/* MemAvailable of /proc/meminfo in bytes; the most there can be if it cannot be read. */
static uint64_t available_bytes(void)
{
	char text[512];
	const char *at;
	ssize_t got;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return UINT64_MAX;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	at = strstr(text, "MemAvailable:");
	return at ? strtoull(at + strlen("MemAvailable:"), NULL, 10) * 1024 : UINT64_MAX;
}

/*
 * What the control group leaves this process. Who forks may have a small stack, and may be in a
 * signal handler, where malloc is not safe. So the room for it is mapped: shared, hence not
 * adopted.
 */
static uint64_t group_bytes(void)
{
	struct group_scratch *scratch = mmap(NULL, sizeof(*scratch), PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t left;

	if (scratch == MAP_FAILED)
		return GROUP_NO_LIMIT; /* the kernel will say no to the fork by itself */
	left = group_ram(GROUP_ALL_CACHE, scratch).left;
	munmap(scratch, sizeof(*scratch));
	return left;
}

static const char *obstacle_to(uint64_t bytes)
{
	if (available_bytes() <= bytes + SPARE_BYTES)
		return "not enough free memory on this host";
	if (group_bytes() <= bytes + GROUP_SPARE_BYTES)
		return "not enough memory left in the control group";
	return NULL;
}

const char *recall_obstacle(struct engine *engine)
{
	int saved = errno; /* the program's; some files are not there everywhere */
	const char *why = NULL;
	uint64_t bytes;

	if (atomic_load(&engine->phase) != ENGINE_ACTIVE)
		return NULL; /* there are no books yet */
	bytes = out_pages(engine) << PAGE_SHIFT;
	if (bytes)
		why = obstacle_to(bytes);
	errno = saved;
	return why;
}

uint32_t recall_ask(struct engine *engine)
{
	uint32_t turn;

	atomic_fetch_add(&engine->recalls, 1);
	turn = atomic_fetch_add(&engine->recall_turn, 1) + 1;
	engine_wake_take(engine); /* which wakes the fault thread: we may have no descriptor */
	return turn;
}

bool recall_is_home(struct engine *engine, uint32_t turn)
{
	if (atomic_load(&engine->phase) != ENGINE_ACTIVE)
		return true; /* nothing was ever taken out, and will not be while recalls counts */
	return (int32_t)(atomic_load(&engine->home_word) - turn) >= 0;
}

bool recall_all_is_home(struct engine *engine)
{
	return atomic_load(&engine->recalls) &&
	       atomic_load(&engine->home_word) == atomic_load(&engine->recall_turn);
}

void recall_release(struct engine *engine)
{
	atomic_fetch_sub(&engine->recalls, 1);
	engine_wake_take(engine);
}

void recall_begin(struct engine *engine)
{
	uint32_t turn = recall_ask(engine), seen;

	for (;;) {
		seen = atomic_load(&engine->home_word);
		if (recall_is_home(engine, turn))
			break;
		engine_wake_take(engine);
		futex_sleep(&engine->home_word, seen, WAIT_NS);
	}
}

void recall_end(struct engine *engine)
{
	if (!engine->caps.fork_events) /* else it counts them itself, also those that do not ask */
		atomic_fetch_add(&engine->forks, 1);
	recall_release(engine);
}

/* ---- fault thread ---- */

struct home {
	struct fault_thread *fault;
	bool zeros;    /* are to come, too */
	bool stop;     /* no more can be begun in this turn */
	uint64_t left; /* pages that are out */
};

bool recall_must_come(const struct page *page)
{
	return page->state == PAGE_REMOTE || page->state == PAGE_FETCHING ||
	       page->state == PAGE_STAGED || (page->state == PAGE_FILLED && page->hash.low);
}

static void bring(void *arg, struct page *page, uint64_t address)
{
	struct home *home = arg;
	struct stream_advice advice = {.first = address >> PAGE_SHIFT, .count = STREAM_MAX_WINDOW};
	enum served served = SERVED;

	if (!recall_must_come(page) && !(home->zeros && page->state == PAGE_FILLED))
		return;
	home->left++;
	if (page->state == PAGE_FETCHING)
		(void)fetch_want(home->fault, page, 0);
	if (home->stop || page->state == PAGE_FETCHING)
		return;
	if (page->state == PAGE_REMOTE)
		served = fetch_begin(home->fault, address, advice, 0);
	else
		served = place_back(home->fault, page, address);
	home->stop = served == LATER;
}

static uint64_t bring_home(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;
	struct home home = {.fault = fault, .zeros = atomic_load(&engine->locked.recalls)};

	engine_lock(engine);
	engine_each_page(engine, bring, &home);
	engine_unlock(engine);
	return home.left;
}

void recall_step(struct fault_thread *fault)
{
	struct engine *engine = fault->engine;
	uint32_t turn = atomic_load(&engine->recall_turn);

	if (!event_is_settled(fault))
		return;
	/* Only a stop that answers this very turn counts: an older one may be over any moment. */
	if (atomic_load(&engine->take_paused) != turn || atomic_load(&engine->home_word) == turn)
		return;
	if (bring_home(fault) || !guard_let_through(engine))
		return;
	atomic_store(&engine->home_word, turn);
	futex_wake_all(&engine->home_word);
}
