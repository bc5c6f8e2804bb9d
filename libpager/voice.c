#include "libpager/voice.h"

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "pager/thread.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>

#define PATIENCE_NS UINT64_C(1000000000)

/*
 *      EMPTY ── who logs takes it ──▶ FILLING ──▶ FULL ── the voice has said it ──▶ EMPTY
 *      EMPTY ── voice_end() ──▶ ENDING, for good
 */
enum { EMPTY, FILLING, FULL, ENDING };

static struct {
	log_sink *say;
	bool is_apart;
	_Atomic bool is_there;
	_Atomic uint32_t state; /* futex */
	enum log_level level;	/* of whoever made it FILLING; of the voice while FULL */
	char line[LOG_LINE_BYTES];
} voice;

static void become(uint32_t state)
{
	atomic_store(&voice.state, state);
	futex_wake_all(&voice.state);
}

/* Waits for news of the state. False when time is up. */
static void hand_over(enum log_level level, const char *line)
{
	uint64_t deadline_ns = clock_ns() + PATIENCE_NS;
	uint32_t seen = EMPTY;

	while (!atomic_compare_exchange_strong(&voice.state, &seen, FILLING)) {
		if (!futex_sleep_until(&voice.state, seen, deadline_ns))
			return;
		seen = EMPTY;
	}
	voice.level = level;
	strncpy(voice.line, line, sizeof(voice.line) - 1);
	become(FULL);
	/* the process may end at our next step */
	while (atomic_load(&voice.state) == FULL &&
	       futex_sleep_until(&voice.state, FULL, deadline_ns))
		;
}

static void say(void *arg UNUSED, enum log_level level, const char *line)
{
	if (atomic_load(&voice.is_there))
		hand_over(level, line);
	else
		voice.say(NULL, level, line);
}

static void *speak(void *arg UNUSED)
{
	uint32_t state;

	prctl(PR_SET_NAME, "libpager-log");
	for (;;) {
		while ((state = atomic_load(&voice.state)) == EMPTY || state == FILLING)
			futex_sleep(&voice.state, state, 0);
		if (state == ENDING)
			return NULL;
		voice.say(NULL, voice.level, voice.line);
		become(EMPTY);
	}
	return NULL;
}

void voice_set(log_sink *sink)
{
	voice.say = sink;
	voice.is_apart = false;
	log_set_sink(say, NULL);
}

void voice_set_apart(log_sink *sink)
{
	voice_set(sink);
	voice.is_apart = true;
}

int voice_start(void)
{
	int err;

	if (atomic_load(&voice.is_there))
		return 0;
	err = voice.is_apart ? thread_start(speak, NULL) : thread_start_outside(speak, NULL);
	atomic_store(&voice.is_there, !err);
	return err;
}

bool voice_end(void)
{
	uint64_t deadline_ns = clock_ns() + PATIENCE_NS;
	uint32_t seen = EMPTY;

	while (!atomic_compare_exchange_strong(&voice.state, &seen, ENDING)) {
		if (!futex_sleep_until(&voice.state, seen, deadline_ns))
			return false;
		seen = EMPTY;
	}
	futex_wake_all(&voice.state);
	return true;
}

void voice_forget(void)
{
	atomic_store(&voice.is_there, false);
	atomic_store(&voice.state, EMPTY);
}
