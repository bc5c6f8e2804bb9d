#include "pager/ctl/doctor.h"

#include "common/base/clock.h"
#include "pager/awake.h"
#include "pager/ctl/format.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define IDLE_DRIVER_FILE "/sys/devices/system/cpu/cpuidle/current_driver"

#define ROUNDS 20u
#define NAP_US 2000		 /* a guess: enough for a CPU to go as deep as it does */
#define PATIENCE_NS 90000000u	 /* for all of it: twice what the naps take */
#define RING ((eventfd_t)1)	 /* the sleeper answers */
#define LAST_RING ((eventfd_t)2) /* it ends */

/* Two threads: one sleeps until its bell is rung, says when that was, and sleeps again. */
struct pair {
	int bell, answer;	   /* eventfds: no hint to the scheduler to keep the two together */
	_Atomic uint64_t woken_ns; /* both written by the sleeper before it answers */
	_Atomic int woken_cpu;
};

/* ---- measuring ---- */

static void *sleeper(void *arg)
{
	struct pair *pair = arg;
	eventfd_t rung;

	while (eventfd_read(pair->bell, &rung) == 0 && rung == RING) {
		pair->woken_ns = clock_ns();
		pair->woken_cpu = sched_getcpu();
		eventfd_write(pair->answer, 1);
	}
	return NULL;
}

/* How long one wake-up took; 0 if it says nothing, because no other CPU was in it. */
static uint64_t wake_once(struct pair *pair)
{
	eventfd_t answered;
	uint64_t rung_ns;
	int cpu;

	usleep(NAP_US);
	cpu = sched_getcpu();
	rung_ns = clock_ns();
	eventfd_write(pair->bell, RING);
	eventfd_read(pair->answer, &answered);
	return pair->woken_cpu == cpu ? 0 : pair->woken_ns - rung_ns;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The median; 0 if the two were never apart. */
static uint64_t wake_often(struct pair *pair)
{
	uint64_t start_ns = clock_ns();
	uint64_t took_ns[ROUNDS];
	unsigned n = 0;

	while (n < ROUNDS && clock_ns() - start_ns < PATIENCE_NS) {
		took_ns[n] = wake_once(pair);
		n += took_ns[n] != 0;
	}
	qsort(took_ns, n, sizeof(took_ns[0]), by_size);
	return n ? took_ns[n / 2] : 0;
}

/* -EBUSY if only one CPU took part. */
static int measure(struct pair *pair, uint64_t *out)
{
	pthread_t thread;
	uint64_t p50_ns;
	int err;

	err = pthread_create(&thread, NULL, sleeper, pair);
	if (err)
		return -err;
	p50_ns = wake_often(pair);
	eventfd_write(pair->bell, LAST_RING);
	pthread_join(thread, NULL);
	if (!p50_ns)
		return -EBUSY;
	*out = p50_ns;
	return 0;
}

static int measure_wake(uint64_t *out)
{
	struct pair pair = {.woken_cpu = -1};
	int err;

	pair.bell = eventfd(0, EFD_CLOEXEC);
	if (pair.bell < 0)
		return -errno;
	pair.answer = eventfd(0, EFD_CLOEXEC);
	if (pair.answer < 0) {
		err = -errno;
		goto out_bell;
	}
	err = measure(&pair, out);
	close(pair.answer);
out_bell:
	close(pair.bell);
	return err;
}

/* ---- saying ---- */

static bool is_only_one_cpu(void)
{
	cpu_set_t cpus;

	/* fails where there are more of them than fit */
	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

/* Without a driver the kernel halts idle CPUs as it always did, and asks no request about it. */
static bool has_idle_driver(void)
{
	char name[32];

	doctor_read_line(IDLE_DRIVER_FILE, name, sizeof(name));
	return name[0] && strcmp(name, "none") != 0;
}

/* What doctor_judge_latency() wants to know. */
static int find_obstacle(void)
{
	struct awake awake;

	if (!has_idle_driver())
		return -ENODEV;
	awake_open(&awake);
	if (awake.fd < 0)
		return -errno;
	close(awake.fd);
	return 0;
}

void doctor_judge_latency(struct report *report, uint64_t p50_ns, int obstacle)
{
	char text[FORMAT_BYTES];

	format_duration(p50_ns, text);
	if (p50_ns <= AWAKE_DEAR_NS)
		report_add(report, REPORT_OK, "cpu-latency", NULL, "waking an idle CPU takes %s",
			   text);
	else if (!obstacle)
		report_add(report, REPORT_OK, "cpu-latency", NULL,
			   "waking an idle CPU takes %s; libpager keeps them awake while it pages",
			   text);
	else if (obstacle == -ENODEV)
		report_add(report, REPORT_WARN, "cpu-latency",
			   "on a virtual machine load cpuidle_haltpoll, with force=1",
			   "waking an idle CPU takes %s, and without an idle driver nothing can "
			   "keep them awake",
			   text);
	else
		report_add(report, REPORT_WARN, "cpu-latency",
			   "let this user write to " AWAKE_FILE " (a udev rule), or on a virtual "
			   "machine turn on halt polling (haltpoll.guest_halt_poll_ns)",
			   "waking an idle CPU takes %s, and libpager may not keep them awake: %s",
			   text, strerror(-obstacle));
	report_number(report, "wake_p50_ns", p50_ns);
}

void doctor_check_cpu_latency(struct report *report)
{
	uint64_t p50_ns = 0;
	int err;

	if (is_only_one_cpu()) {
		report_add(report, REPORT_OK, "cpu-latency", NULL,
			   "not measured: there is no second CPU to wake");
		return;
	}
	err = measure_wake(&p50_ns);
	if (err == -EBUSY)
		report_add(report, REPORT_OK, "cpu-latency", NULL,
			   "not measured: no other CPU was idle");
	else if (err)
		report_add(report, REPORT_WARN, "cpu-latency", NULL, "not measured: %s",
			   strerror(-err));
	else
		doctor_judge_latency(report, p50_ns, find_obstacle());
}
