#include "pager/gate.h"

#include "common/base/clock.h"
#include "common/base/lock.h"

#include <time.h>

#define CLOSED 0x80000000u
#define LET_IN_NS 50000u

static uint64_t until(unsigned ms)
{
	return clock_ns() + (uint64_t)ms * 1000000u;
}

static void wait_to_enter(struct gate *gate)
{
	uint64_t end_ns = until(GATE_ENTER_MS);
	uint32_t seen = atomic_load(&gate->word);
	bool entered = false;

	atomic_fetch_add(&gate->waiting, 1);
	while (!entered) {
		if (!(seen & CLOSED))
			entered = atomic_compare_exchange_weak(&gate->word, &seen, seen + 1);
		else if (futex_sleep_until(&gate->word, seen, end_ns))
			seen = atomic_load(&gate->word);
		else
			break;
	}
	if (!entered)
		atomic_fetch_add(&gate->word, 1);
	atomic_fetch_sub(&gate->waiting, 1);
}

void gate_enter(struct gate *gate)
{
	uint32_t seen = atomic_load(&gate->word);

	while (!(seen & CLOSED))
		if (atomic_compare_exchange_weak(&gate->word, &seen, seen + 1))
			return;
	wait_to_enter(gate);
}

void gate_leave(struct gate *gate)
{
	if (atomic_fetch_sub(&gate->word, 1) == (CLOSED | 1))
		futex_wake_all(&gate->word);
}

/* They have been woken, and need a CPU. */
static void let_in(struct gate *gate)
{
	const struct timespec moment = {.tv_nsec = LET_IN_NS};

	if (atomic_load(&gate->waiting))
		nanosleep(&moment, NULL);
}

bool gate_close(struct gate *gate)
{
	uint64_t end_ns;
	uint32_t seen;

	if (gate->is_stuck && atomic_load(&gate->word))
		return false;
	gate->is_stuck = false;
	let_in(gate);
	seen = atomic_fetch_or(&gate->word, CLOSED) | CLOSED;
	end_ns = seen == CLOSED ? 0 : until(GATE_CLOSE_MS);
	while (seen != CLOSED) {
		gate->is_stuck = !futex_sleep_until(&gate->word, seen, end_ns);
		if (gate->is_stuck)
			return false;
		seen = atomic_load(&gate->word);
	}
	return true;
}

void gate_open(struct gate *gate)
{
	if (atomic_fetch_and(&gate->word, ~CLOSED) & CLOSED)
		futex_wake_all(&gate->word);
}
