#include "pager/awake.h"

#include "common/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#define NO_LATENCY 0	       /* us: idle CPUs poll */
#define ANY_LATENCY 2000000000 /* us: the kernel's own PM_QOS_CPU_LATENCY_DEFAULT_VALUE */
#define LOST_NS 20000000u      /* a measurement that did not come back */
/*
 * Not each wake-up meets a CPU that sleeps, and a busy host makes a cheap one late. So a dear one
 * counts for several cheap ones, and a few of them decide.
 */
#define DEAR_SCORE 4u
#define ENOUGH_SCORE 12u
#define MOST_SCORE 48u
#define FIRST_SAMPLES 16u	 /* taken at once; more while faults come */
#define BUSY_FAULTS_PER_MS 1u	 /* from here on it pays */
#define BUSY_LASTS_NS 100000000u /* each change of the request wakes all idle CPUs */

void awake_open(struct awake *awake)
{
	awake->fd = open(AWAKE_FILE, O_WRONLY | O_CLOEXEC);
}

static void count(struct awake *awake, bool dear)
{
	awake->samples++;
	if (dear && awake->score < MOST_SCORE)
		awake->score += DEAR_SCORE;
	else if (!dear && awake->score)
		awake->score--;
}

static bool is_busy(const struct awake *awake, uint64_t now_ns)
{
	return now_ns - awake->busy_ns < BUSY_LASTS_NS;
}

/* Takes the result of the measurement under way. Returns whether none is under way now. */
static bool settle(struct awake *awake, uint64_t now_ns)
{
	uint64_t woken_ns = atomic_load_explicit(&awake->woken_ns, memory_order_relaxed);

	if (!awake->asked_ns)
		return true;
	if (woken_ns >= awake->asked_ns) {
		count(awake, woken_ns - awake->asked_ns > AWAKE_DEAR_NS);
		awake->asked_ns = 0;
		return true;
	}
	if (now_ns - awake->asked_ns > LOST_NS)
		awake->asked_ns = 0;
	return false;
}

bool awake_measure(struct awake *awake, uint64_t now_ns)
{
	if (awake->fd < 0 || awake->held || !settle(awake, now_ns) ||
	    (awake->samples >= FIRST_SAMPLES && !is_busy(awake, now_ns)))
		return false;
	awake->asked_ns = now_ns;
	return true;
}

static void request(struct awake *awake, bool hold)
{
	int32_t latency_us = hold ? NO_LATENCY : ANY_LATENCY;

	if (hold == awake->held)
		return;
	if (write(awake->fd, &latency_us, sizeof(latency_us)) != sizeof(latency_us))
		return;
	awake->held = hold;
	log_debug(hold ? "keeping idle CPUs awake" : "letting idle CPUs sleep");
}

void awake_turn(struct awake *awake, uint64_t faults, uint64_t now_ns)
{
	uint64_t came = faults - awake->faults;
	uint64_t ms = (now_ns - awake->turn_ns) / 1000000 + 1;

	if (awake->fd < 0)
		return;
	if (came > ms * BUSY_FAULTS_PER_MS)
		awake->busy_ns = now_ns;
	awake->faults = faults;
	awake->turn_ns = now_ns;
	request(awake, awake->score >= ENOUGH_SCORE && is_busy(awake, now_ns));
}
