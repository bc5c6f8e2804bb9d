/*
 * Keeps the host's idle CPUs from falling asleep while the program pages: each fault wakes a thread
 * on another CPU, and where an idle CPU is halted at once (a virtual machine without halt polling,
 * deep idle states) such a wake-up costs more than all the rest of the fault.
 *
 * The kernel's interface for this is the CPU latency request of PM QoS (Documentation/power/
 * pm_qos_interface.rst): /dev/cpu_dma_latency, open with 0 in it. It ends with the process. It
 * holds for all CPUs of the host, and while it does they burn power; so it is made only
 *
 *   - where wake-ups have been seen to be dear: measured here, by waking the fault thread when it
 *     sleeps,
 *   - while faults come by the thousand, and a moment longer,
 *   - if the user permits it (LIBPAGER_CPU_LATENCY) and the host does: the file is root's.
 *
 * Control thread, but for awake_note().
 */
#ifndef PAGER_AWAKE_H
#define PAGER_AWAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AWAKE_FILE "/dev/cpu_dma_latency"
#define AWAKE_DEAR_NS 25000u /* a wake-up on hardware takes 2 to 10 us */

struct awake {
	int fd; /* -1: not permitted, or not wanted */
	bool held;
	unsigned samples, score;   /* wake-ups measured; what they say: see awake.c */
	uint64_t asked_ns;	   /* when the one under way began; 0: none is */
	_Atomic uint64_t woken_ns; /* when the sleeper ran again; written by it */
	uint64_t faults;	   /* at the last turn */
	uint64_t turn_ns, busy_ns;
};

/* Opens the file, which asks for nothing yet. If that is not permitted fd is -1, and errno why. */
void awake_open(struct awake *awake);

/* Whether another measurement is wanted; then the caller wakes a thread that sleeps. */
bool awake_measure(struct awake *awake, uint64_t now_ns);

/* The thread that slept runs again. That thread. */
static inline void awake_note(struct awake *awake, uint64_t now_ns)
{
	atomic_store_explicit(&awake->woken_ns, now_ns, memory_order_relaxed);
}

/* Makes the request or takes it back, by how many faults there have been so far in all. */
void awake_turn(struct awake *awake, uint64_t faults, uint64_t now_ns);

#endif
