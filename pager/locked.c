#include "pager/locked.h"

#include "common/base/clock.h"
#include "pager/engine.h"
#include "pager/maps.h"
#include "pager/recall.h"

/* The kernel's next step is some microseconds away, if it has a CPU. If not, it waits once more. */
#define PASSING_NS 50000000u
#define LOOK_NS 1000000000u
#define RECALL_NS 5000000u

static uint64_t locked_kib(const struct engine *engine)
{
	return maps_kib(engine->status_fd, MAPS_LOCKED);
}

static bool may_be_all(const struct engine *engine, uint64_t kib)
{
	return kib >= stage_bytes(&engine->stage) / 1024;
}

void locked_let_pass(struct engine *engine, int uffd, uint64_t address)
{
	static const uint8_t zeros[PAGE_BYTES];
	uint64_t done;

	if (may_be_all(engine, locked_kib(engine)) &&
	    stage_lock_when_touched(&engine->stage) == 0) {
		atomic_store(&engine->locked.passed_ns, clock_ns());
		uffd_wake(uffd, address, PAGE_BYTES);
		engine_wake_control(engine);
	} else if (uffd_copy(uffd, address, zeros, PAGE_BYTES, &done)) {
		uffd_wake(uffd, address, PAGE_BYTES);
	}
}

/* Nobody reads the second area's descriptor but we here. */
static void read_trash(struct engine *engine)
{
	struct uffd_event events[UFFD_READ_MAX];
	int n = engine->caps.move ? uffd_read(engine->trash_uffd, events, UFFD_READ_MAX) : 0;

	for (int i = 0; i < n; i++)
		if (events[i].kind == UFFD_FAULT)
			locked_let_pass(engine, engine->trash_uffd, events[i].fault.address);
}

static void unlock(struct engine *engine)
{
	stage_unlock(&engine->stage);
	engine->locked.seen_kib = locked_kib(engine);
}

static void end_passing(struct engine *engine, uint64_t now)
{
	struct locked *locked = &engine->locked;
	uint64_t passed = atomic_load(&locked->passed_ns);

	if (!passed || now < passed + PASSING_NS ||
	    !atomic_compare_exchange_strong(&locked->passed_ns, &passed, 0))
		return;
	unlock(engine);
	if (atomic_exchange(&locked->recalls,
			    true)) /* once more: the turn before is over by that */
		recall_release(engine);
	locked->turn = recall_ask(engine);
}

static void look(struct engine *engine, uint64_t now)
{
	struct locked *locked = &engine->locked;
	uint64_t kib;

	if (now < locked->look_ns || atomic_load(&locked->passed_ns))
		return;
	locked->look_ns = now + LOOK_NS;
	kib = locked_kib(engine);
	if (kib != locked->seen_kib && may_be_all(engine, kib))
		unlock(engine);
	else
		locked->seen_kib = kib;
}

uint64_t locked_turn(struct engine *engine, uint64_t now)
{
	struct locked *locked = &engine->locked;

	read_trash(engine);
	end_passing(engine, now);
	if (locked->recalls && recall_is_home(engine, locked->turn)) {
		recall_release(engine);
		locked->recalls = false;
	}
	if (engine->caps.move)
		look(engine, now);
	if (locked->recalls || atomic_load(&locked->passed_ns))
		return RECALL_NS;
	return LOOK_NS;
}
