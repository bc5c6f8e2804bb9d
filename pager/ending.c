#include "pager/ending.h"

#include "pager/follow.h"

#define GOODBYE_NS 50000000u
#define WITHDRAWAL_NS 1000000000u

enum { GOODBYE_NOT_YET, GOODBYE_WANTED, GOODBYE_SAID, GOODBYE_BY_CALLER };
enum { WITHDRAWAL_NOT_YET, WITHDRAWAL_WANTED, WITHDRAWAL_REFUSED, WITHDRAWAL_DONE, WITHDRAWAL_WAS };

static void answer(_Atomic uint32_t *word, uint32_t with)
{
	atomic_store(word, with);
	futex_wake_all(word);
}

/* ---- goodbye ---- */

static void say_goodbye(struct engine *engine)
{
	follow_end(engine);
	if (engine->stats)
		stats_remove(engine->stats);
}

void ending_goodbye(struct engine *engine)
{
	uint32_t state = GOODBYE_NOT_YET;

	if (atomic_compare_exchange_strong(&engine->goodbye, &state, GOODBYE_WANTED))
		engine_wake_control(engine);
	state = futex_await(&engine->goodbye, GOODBYE_WANTED, GOODBYE_NS);
	/* It may be connecting donors. */
	if (state == GOODBYE_WANTED)
		(void)atomic_compare_exchange_strong(&engine->goodbye, &state, GOODBYE_BY_CALLER);
	if (state != GOODBYE_SAID)
		say_goodbye(engine);
}

/* ---- withdrawal ---- */

enum ending ending_withdraw(struct engine *engine)
{
	uint32_t state = WITHDRAWAL_NOT_YET;

	if (atomic_compare_exchange_strong(&engine->withdrawal, &state, WITHDRAWAL_WANTED))
		engine_wake_control(engine);
	state = futex_await(&engine->withdrawal, WITHDRAWAL_WANTED, WITHDRAWAL_NS);
	if (state == WITHDRAWAL_WANTED &&
	    atomic_compare_exchange_strong(&engine->withdrawal, &state, WITHDRAWAL_NOT_YET))
		return ENDING_NOT;
	if (state == WITHDRAWAL_REFUSED)
		atomic_store(&engine->withdrawal, WITHDRAWAL_NOT_YET);
	if (state == WITHDRAWAL_DONE)
		return ENDING_SOON;
	return state == WITHDRAWAL_WAS ? ENDING_WAS : ENDING_NOT;
}

/* ---- the control thread ---- */

bool ending_turn(struct engine *engine)
{
	bool may_end = atomic_load(&engine->phase) == ENGINE_WATCHING;

	if (atomic_load(&engine->goodbye) == GOODBYE_WANTED) {
		say_goodbye(engine);
		answer(&engine->goodbye, GOODBYE_SAID);
	}
	if (atomic_load(&engine->withdrawal) != WITHDRAWAL_WANTED)
		return false;
	answer(&engine->withdrawal, may_end ? WITHDRAWAL_DONE : WITHDRAWAL_REFUSED);
	return may_end;
}

void ending_without(struct engine *engine)
{
	uint32_t wanted = atomic_exchange(&engine->goodbye, GOODBYE_BY_CALLER);

	follow_end(engine);
	if (wanted == GOODBYE_WANTED)
		futex_wake_all(&engine->goodbye);
	answer(&engine->withdrawal, WITHDRAWAL_WAS);
}
