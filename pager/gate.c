#include "pager/gate.h"

#include "common/base/clock.h"
#include "common/base/lock.h"

#define CLOSED 0x80000000u

static uint64_t until(unsigned ms)
{
	return clock_ns() + (uint64_t)ms * 1000000u;
}

/* Sleeps while the word is what it was, until then at most. False if it is later. */
static bool sleep_until(struct gate *gate, uint32_t seen, uint64_t end_ns)
{
	uint64_t now = clock_ns();

	if (now >= end_ns)
		return false;
	futex_sleep(&gate->word, seen, end_ns - now);
	return true;
}

void gate_enter(struct gate *gate)
{
	uint32_t seen = atomic_load(&gate->word);
	uint64_t end_ns = 0;

	for (;;) {
		if (!(seen & CLOSED)) {
			if (atomic_compare_exchange_weak(&gate->word, &seen, seen + 1))
				return;
			continue;
		}
		if (!end_ns)
			end_ns = until(GATE_ENTER_MS);
		if (!sleep_until(gate, seen, end_ns))
			break;
		seen = atomic_load(&gate->word);
	}
	atomic_fetch_add(&gate->word, 1);
}

void gate_leave(struct gate *gate)
{
	if (atomic_fetch_sub(&gate->word, 1) == (CLOSED | 1))
		futex_wake_all(&gate->word);
}

bool gate_close(struct gate *gate)
{
	uint32_t seen = atomic_fetch_or(&gate->word, CLOSED) | CLOSED;
	uint64_t end_ns = seen == CLOSED ? 0 : until(GATE_CLOSE_MS);

	while (seen != CLOSED) {
		if (!sleep_until(gate, seen, end_ns))
			return false;
		seen = atomic_load(&gate->word);
	}
	return true;
}

void gate_open(struct gate *gate)
{
	atomic_fetch_and(&gate->word, ~CLOSED);
	futex_wake_all(&gate->word);
}
