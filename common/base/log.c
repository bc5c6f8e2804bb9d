#include "common/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

static void write_line(void *arg, enum log_level level, const char *line);

static const char *program_name = "";
static log_sink *current_sink = write_line;
static void *sink_arg;
static _Atomic enum log_level lowest_level = LOG_INFO;

static struct iovec piece(const char *text)
{
	return (struct iovec){.iov_base = (void *)text, .iov_len = strlen(text)};
}

/* writev() and not stdio: lines of several threads and processes must not tear each other. */
static void write_line(void *arg UNUSED, enum log_level level UNUSED, const char *line)
{
	const struct iovec pieces[] = {
		piece(program_name),
		piece(*program_name ? ": " : ""),
		piece(line),
		piece("\n"),
	};
	ssize_t n;

	do
		n = writev(STDERR_FILENO, pieces, ARRAY_LEN(pieces));
	while (n < 0 && errno == EINTR);
}

/* What is true of poll(2) a moment ago: two threads that log at once may still wait, for a line. */
static bool has_room(void)
{
	struct pollfd out = {STDERR_FILENO, POLLOUT, 0};

	return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT);
}

void log_write_or_drop(void *arg, enum log_level level, const char *line)
{
	static _Atomic unsigned dropped;
	char told[64];
	unsigned n;

	if (!has_room()) {
		atomic_fetch_add(&dropped, 1);
		return;
	}
	n = atomic_exchange(&dropped, 0);
	if (n) {
		snprintf(told, sizeof(told), "%u lines lost: nobody read the log", n);
		write_line(arg, LOG_WARN, told);
	}
	if (n && !has_room())
		atomic_fetch_add(&dropped, 1);
	else
		write_line(arg, level, line);
}

void log_set_name(const char *name)
{
	program_name = name ? name : "";
}

void log_set_sink(log_sink *sink, void *arg)
{
	current_sink = sink ? sink : write_line;
	sink_arg = arg;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&lowest_level, level, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Texts of peers end up in lines: what they send must not begin a line or drive a terminal. */
static void disarm(char *line)
{
	for (; *line; line++) {
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = '?';
	}
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_BYTES];
	int saved_errno = errno;
	va_list args;

	if (level < atomic_load_explicit(&lowest_level, memory_order_relaxed))
		return;
	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	disarm(line);
	current_sink(sink_arg, level, line);
	errno = saved_errno;
}
