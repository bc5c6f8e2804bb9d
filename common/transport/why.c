#include "common/transport/ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHY_BYTES 160

static _Thread_local char why[WHY_BYTES];

const char *tp_why(void)
{
	return why;
}

const char *tp_reason(int err)
{
	return *why ? why : strerror(-err);
}

void tp_explain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
}

void tp_explain_nothing(void)
{
	why[0] = '\0';
}
