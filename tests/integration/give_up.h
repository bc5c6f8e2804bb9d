/*
 * How a test program ends when something is wrong: one line with its name, and status 1. By
 * _exit(2), because it may be a forked child, or in the middle of anything.
 */
#ifndef TESTS_INTEGRATION_GIVE_UP_H
#define TESTS_INTEGRATION_GIVE_UP_H

#include "common/base/compiler.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/*
 * For a program that has more to say before the text, or something to do after it. Weak: one for
 * all files of a program.
 */
void (*give_up_first)(void) __attribute__((weak));
void (*give_up_last)(void) __attribute__((weak));

static inline NORETURN PRINTF_LIKE(1, 2) void give_up(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	if (give_up_first)
		give_up_first();
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	fflush(stdout);
	if (give_up_last)
		give_up_last();
	_exit(1);
}

#endif
