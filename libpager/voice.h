/*
 * A thread that says the engine's log lines. The engine's own threads cannot: they have no
 * descriptor of the program's (pager/thread.h), be it standard error or the file to which a log
 * function of the program's writes.
 */
#ifndef LIBPAGER_VOICE_H
#define LIBPAGER_VOICE_H

#include "common/base/compiler.h"
#include "common/base/log.h"

#include <stdbool.h>

/*
 * Makes `say` the sink of all lines. On the calling thread until voice_start(); from then on on the
 * voice's, while who logs waits for it, a second at most: a line that cannot be said within that
 * time is lost rather than an engine held up.
 */
void voice_set(log_sink *say);

/*
 * The same for one that opens what it needs itself: from voice_start() on it has no descriptor of
 * the program's, and opens none among them. A number that an open() is about to return is the
 * program's to put something on, and dup2(2) would fail with EBUSY.
 */
void voice_set_apart(log_sink *say);

/* By a thread of the program. Does nothing if it was started. */
int voice_start(void) MUST_CHECK;

/*
 * Tells the thread to end, once it has said what it has to. False if it cannot within a second. To
 * be forgotten when it has ended.
 */
bool voice_end(void) MUST_CHECK;

/* Where the thread is not any more, as in a forked child. */
void voice_forget(void);

#endif
