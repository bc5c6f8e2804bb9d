#include "donor/quiet.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

/* Enough to see what is going on, little enough to keep for months. Both are guesses. */
#define WINDOW_NS (10ull * 1000000000)
#define LINES_PER_WINDOW 10

void quiet_init(struct quiet *quiet, const char *about)
{
	*quiet = (struct quiet){.about = about};
}

void quiet_tell(struct quiet *quiet, uint64_t now_ns)
{
	if (!quiet->hidden || now_ns < quiet->window_end_ns)
		return;
	log_info("%u more lines about %s not shown", quiet->hidden, quiet->about);
	quiet->hidden = 0;
}

static void begin_window(struct quiet *quiet, uint64_t now_ns)
{
	quiet_tell(quiet, now_ns);
	quiet->lines = 0;
	quiet->window_end_ns = now_ns + WINDOW_NS;
}

static bool allows(struct quiet *quiet, uint64_t now_ns)
{
	if (now_ns >= quiet->window_end_ns)
		begin_window(quiet, now_ns);
	if (quiet->lines == LINES_PER_WINDOW) {
		quiet->hidden++;
		return false;
	}
	quiet->lines++;
	return true;
}

void quiet_line(struct quiet *quiet, uint64_t now_ns, enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_BYTES];
	va_list args;

	if (!allows(quiet, now_ns))
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_line(level, "%s", line);
}
