/* See remap_bed.h. */
#include "tests/unit/remap_bed.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define STAGE_PAGES 64u
#define REGIONS 64u

struct engine *engine;
uint32_t ids[PAGES];
static struct fault_thread *fault;

/* ---- the fault thread ---- */

static void *serve(void *arg UNUSED)
{
	for (;;) {
		uint32_t end;

		(void)fault_read(fault);
		(void)!event_is_settled(fault);
		end = fault->todo_head;
		while (fault->todo_tail != end) {
			struct todo todo = fault->todo[fault->todo_tail++ % TODO_MAX];

			if (place_fault(fault, &todo) == LATER)
				fault->todo[fault->todo_head++ % TODO_MAX] = todo;
		}
		sched_yield();
	}
	return NULL;
}

static bool open_engine(void)
{
	struct region *list = own_reserve(REGIONS * sizeof(*list));
	pthread_t thread;

	engine = own_alloc(sizeof(*engine));
	fault = own_alloc(sizeof(*fault));
	uffd_probe(&engine->caps);
	engine->caps.move = false;
	engine->stats = own_alloc(sizeof(*engine->stats));
	engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	engine->pagemap_fd = pagemap_open();
	regions_init(&engine->regions, list, REGIONS);
	engine->fault = fault;
	fault->engine = engine;
	fault->zeros = own_alloc(FETCH_PAGES * PAGE_BYTES);
	return page_table_open(&engine->table) == 0 && fifo_open(&engine->order) == 0 &&
	       uffd_open(&engine->caps, true, &engine->uffd) == 0 &&
	       stage_open(&engine->stage, STAGE_PAGES, engine->uffd, -1) == 0 &&
	       pthread_create(&thread, NULL, serve, NULL) == 0;
}

/* ---- the program ---- */

uint64_t word_of(unsigned page)
{
	return 0x1234567800000000u + page;
}

uint64_t *word_at(const char *area, unsigned page)
{
	return (uint64_t *)(uintptr_t)(area + page * PAGE_BYTES);
}

void fill(char *area)
{
	for (unsigned page = 0; page < PAGES; page++)
		*word_at(area, page) = word_of(page);
}

bool is_filled(const char *area)
{
	for (unsigned page = 0; page < PAGES; page++)
		if (*word_at(area, page) != word_of(page))
			return false;
	return true;
}

char *map_anywhere(void)
{
	char *area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(area, MAP_FAILED);
	return area;
}

/* In one call: what the engine maps meanwhile could come to lie in the hole. */
void map_another(char *area, unsigned first, unsigned pages)
{
	char *at = area + first * PAGE_BYTES;

	CU_ASSERT_PTR_EQUAL_FATAL(mmap(at, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
				  at);
}

/* ---- the engine ---- */

void adopt(char *area, bool found)
{
	uint32_t id;

	CU_ASSERT_EQUAL_FATAL(uffd_register(engine->uffd, (uintptr_t)area, BYTES, true), 0);
	engine_lock(engine);
	CU_ASSERT_EQUAL_FATAL(
		regions_add(&engine->regions, (uintptr_t)area, (uintptr_t)area + BYTES), 0);
	while (fifo_pop(engine->order, &id)) /* of earlier tests */
		page_set_queued(engine->table, page_by_id(engine->table, id), false);
	for (unsigned i = 0; i < PAGES; i++) {
		struct page *page = page_get(engine->table, (uintptr_t)area + i * PAGE_BYTES);

		engine_now_resident(engine, page);
		page->found = found;
		CU_ASSERT_TRUE_FATAL(fifo_pop(engine->order, &ids[i]));
	}
	engine_unlock(engine);
}

char *adopted(void)
{
	char *area = map_anywhere();

	fill(area);
	adopt(area, false);
	return area;
}

int begin(void)
{
	int err;

	engine_lock(engine);
	err = remap_begin(engine, ids, PAGES);
	engine_unlock(engine);
	return err;
}

enum page_state state_at(const char *area, unsigned i)
{
	const struct page *page;
	enum page_state state;

	engine_lock(engine);
	page = page_find(engine->table, (uintptr_t)area + i * PAGE_BYTES);
	state = page ? (enum page_state)page->state : PAGE_NONE;
	engine_unlock(engine);
	return state;
}

bool all_are(const char *area, enum page_state state)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (state_at(area, i) != state)
			return false;
	return true;
}

void leave(char *area)
{
	struct stage *stage = &engine->stage;

	CU_ASSERT_EQUAL(atomic_load(&engine->end_wanted), 0);
	munmap(area, BYTES);
	stage_drop(stage, stage->tail, (uint32_t)stage_level(stage));
	engine_lock(engine);
	stage->tail = stage->head;
	engine_unlock(engine);
	CU_ASSERT_EQUAL(stage->mappings, 0);
	CU_ASSERT_EQUAL(stage->lost_end, 0);
	CU_ASSERT_EQUAL(engine->remap.bytes, 0);
}

int bed_run(const char *name, struct suite_test *tests)
{
	struct uffd_caps caps;

	uffd_probe(&caps);
	if (caps.way != UFFD_SYSCALL && caps.way != UFFD_DEVICE)
		suite_set_inactive(tests, "userfaultfd is not permitted");
	else if (!caps.protect || !caps.events)
		suite_set_inactive(tests, "this kernel's userfaultfd cannot protect pages");
	if (!tests[0].inactive && !open_engine())
		return 1;
	return suite_run(name, tests);
}
