#include "tests/contract/mallocs.h"

#include <stddef.h>

static __thread unsigned long count;

/* Names that ld gives: __wrap_x is called in place of x, which is __real_x. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *ptr, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *ptr, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	count++;
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	count++;
	return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *ptr, size_t bytes)
{
	count++;
	return __real_realloc(ptr, bytes);
}

unsigned long mallocs_of_this_thread(void)
{
	return count;
}
