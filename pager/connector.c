#include "pager/connector.h"

#include "common/base/lock.h"
#include "pager/thread.h"

#define LOOK_NS 100000000u /* for a bell that was missed */

static bool do_one(struct connector *connector)
{
	for (unsigned i = 0; i < CONFIG_MAX_DONORS; i++) {
		struct attempt *attempt = atomic_exchange(&connector->jobs[i], NULL);

		if (!attempt)
			continue;
		attempt_carry_out(attempt);
		return true;
	}
	return false;
}

static void *run(void *arg)
{
	struct connector *connector = arg;

	while (!atomic_load(&connector->is_ending)) {
		uint32_t seen = atomic_load(&connector->bell);

		if (!do_one(connector))
			futex_sleep(&connector->bell, seen, 0);
	}
	atomic_store(&connector->is_running, false);
	futex_ring(&connector->bell);
	return NULL;
}

int connector_start(struct connector *connector)
{
	int err;

	if (atomic_load(&connector->is_running))
		return 0;
	atomic_store(&connector->is_running, true);
	err = thread_start_outside(run, connector);
	if (err)
		atomic_store(&connector->is_running, false);
	return err;
}

bool connector_is_running(const struct connector *connector)
{
	return atomic_load(&connector->is_running);
}

void connector_stop(struct connector *connector)
{
	atomic_store(&connector->is_ending, true);
	futex_ring(&connector->bell);
	while (atomic_load(&connector->is_running))
		futex_sleep(&connector->bell, atomic_load(&connector->bell), LOOK_NS);
}

void connector_submit(struct connector *connector, struct attempt *attempt)
{
	unsigned i = 0;
	struct attempt *none = NULL;

	attempt_prepare(attempt);
	/* There is a place for each donor. */
	while (!atomic_compare_exchange_strong(&connector->jobs[i], &none, attempt)) {
		none = NULL;
		i = (i + 1) % CONFIG_MAX_DONORS;
	}
	futex_ring(&connector->bell);
}
