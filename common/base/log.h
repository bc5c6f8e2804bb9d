/*
 * Log lines. Any thread may log; a line is formatted on the caller's stack and handed to the
 * sink in one piece. The default sink writes "NAME: line\n" to descriptor 2 with one writev(2).
 * Nothing here allocates or takes a lock. Not for the fault path: formatting takes microseconds.
 *
 * errno is left as it was.
 */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include "common/base/compiler.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Longest line, its end included; what is longer is cut. Control characters become '?'. */
#define LOG_LINE_BYTES 1024

/* Receives one line without a newline. Called on the thread that logs. */
typedef void log_sink(void *arg, enum log_level level, const char *line);

/* Program name that the default sink puts before a line; none until then. Not copied. */
void log_set_name(const char *name);

/*
 * A sink for those who may not wait: like the default one, but a line for which descriptor 2 has no
 * room now (a pipe that nobody reads, a terminal that was stopped) is dropped. The next line that
 * is written comes after one that says how many were lost.
 */
void log_write_or_drop(void *arg, enum log_level level, const char *line);

/* Replaces the sink; NULL restores the default one. Not while other threads log. */
void log_set_sink(log_sink *sink, void *arg);

/* Lines below this level are not formatted at all. LOG_INFO at start. */
void log_set_level(enum log_level level);

/* Reads "debug", "info", "warn" or "error". Returns 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *out) MUST_CHECK;

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
