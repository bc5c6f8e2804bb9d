#include "common/transport/verbs_memory.h"

#include "common/transport/verbs_object.h"
#include "common/transport/verbs_pool.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* Address space only. A connection takes some 100 KiB; a donor may have thousands of them. */
#define POOL_BYTES ((size_t)256 << 20)

#define ALIGN alignof(max_align_t)

/* Libraries, drivers and what they need: 25 on Debian 12 with all drivers. */
#define MAX_OBJECTS 64

static struct {
	struct verbs_pool *pool;
	Lmid_t namespace;
	unsigned object_count;
	ElfW(Addr) objects[MAX_OBJECTS]; /* that have been treated, by where they lie */
	/* Of the namespace's C library, for what it has allocated itself. */
	void (*foreign_free)(void *ptr);
	void *(*foreign_realloc)(void *ptr, size_t bytes);
	void *(*foreign_mmap)(void *at, size_t bytes, int protection, int flags, int fd,
			      off_t offset);
} guard;

/* ---- what the libraries call in place of the C library ---- */

static void *guard_malloc(size_t bytes)
{
	return verbs_pool_alloc(guard.pool, bytes, ALIGN);
}

static void *guard_calloc(size_t n, size_t each)
{
	size_t bytes;
	void *ptr;

	if (__builtin_mul_overflow(n, each, &bytes))
		return NULL;
	ptr = guard_malloc(bytes);
	return ptr ? memset(ptr, 0, bytes) : NULL;
}

static void guard_free(void *ptr)
{
	if (!ptr)
		return;
	if (verbs_pool_owns(guard.pool, ptr))
		verbs_pool_free(guard.pool, ptr);
	else
		guard.foreign_free(ptr);
}

static void *guard_realloc(void *ptr, size_t bytes)
{
	size_t room;
	void *to;

	if (!ptr)
		return guard_malloc(bytes);
	if (!verbs_pool_owns(guard.pool, ptr))
		return guard.foreign_realloc(ptr, bytes);
	room = verbs_pool_room(guard.pool, ptr);
	if (bytes <= room)
		return ptr;
	to = guard_malloc(bytes);
	if (!to)
		return NULL;
	memcpy(to, ptr, room);
	verbs_pool_free(guard.pool, ptr);
	return to;
}

static void *guard_reallocarray(void *ptr, size_t n, size_t each)
{
	size_t bytes;

	return __builtin_mul_overflow(n, each, &bytes) ? NULL : guard_realloc(ptr, bytes);
}

static void *guard_aligned_alloc(size_t align, size_t bytes)
{
	return verbs_pool_alloc(guard.pool, bytes, align > ALIGN ? align : ALIGN);
}

static int guard_posix_memalign(void **out, size_t align, size_t bytes)
{
	void *ptr = guard_aligned_alloc(align, bytes);

	if (!ptr)
		return ENOMEM;
	*out = ptr;
	return 0;
}

static char *guard_strndup(const char *text, size_t most)
{
	size_t len = strnlen(text, most);
	char *copy = guard_malloc(len + 1);

	if (!copy)
		return NULL;
	copy[len] = '\0';
	return memcpy(copy, text, len);
}

static char *guard_strdup(const char *text)
{
	return guard_strndup(text, strlen(text));
}

/* Some drivers map the memory of their queues themselves. */
static void *guard_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if ((flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE)
		flags = (flags & ~MAP_TYPE) | MAP_SHARED;
	return guard.foreign_mmap(at, bytes, protection, flags, fd, offset);
}

static int treat_all(void *handle);

/* How libibverbs opens drivers. From here dlopen() would open them in the program's namespace. */
static void *guard_dlopen(const char *path, int mode)
{
	void *handle = dlmopen(guard.namespace, path, mode);

	if (handle && treat_all(handle) < 0) {
		dlclose(handle);
		return NULL;
	}
	return handle;
}

static const struct verbs_redirect redirects[] = {
	{"malloc", (void *)guard_malloc},
	{"calloc", (void *)guard_calloc},
	{"realloc", (void *)guard_realloc},
	{"reallocarray", (void *)guard_reallocarray},
	{"free", (void *)guard_free},
	{"posix_memalign", (void *)guard_posix_memalign},
	{"aligned_alloc", (void *)guard_aligned_alloc},
	{"memalign", (void *)guard_aligned_alloc},
	{"strdup", (void *)guard_strdup},
	{"strndup", (void *)guard_strndup},
	{"mmap", (void *)guard_mmap},
	{"mmap64", (void *)guard_mmap},
	{"dlopen", (void *)guard_dlopen},
	{NULL, NULL},
};

/* ---- the objects of the namespace ---- */

static bool is_treated(const struct link_map *object)
{
	unsigned i;

	for (i = 0; i < guard.object_count; i++) {
		if (guard.objects[i] == object->l_addr)
			return true;
	}
	return false;
}

static int treat(const struct link_map *object)
{
	int err;

	/* The loader is the same in every namespace. */
	if (object->l_addr == getauxval(AT_BASE) || is_treated(object))
		return 0;
	if (guard.object_count == MAX_OBJECTS)
		return -ENOMEM;
	err = verbs_object_share_bss(object);
	if (!err)
		err = verbs_object_redirect(object, redirects);
	if (err)
		return err;
	guard.objects[guard.object_count++] = object->l_addr;
	return 0;
}

static int treat_all(void *handle)
{
	struct link_map *object;
	int err;

	if (dlinfo(handle, RTLD_DI_LINKMAP, &object))
		return -ENOEXEC;
	while (object->l_prev)
		object = object->l_prev;
	for (; object; object = object->l_next) {
		err = treat(object);
		if (err)
			return err;
	}
	return 0;
}

static int find_foreign(void *handle)
{
	*(void **)&guard.foreign_free = dlsym(handle, "free");
	*(void **)&guard.foreign_realloc = dlsym(handle, "realloc");
	*(void **)&guard.foreign_mmap = dlsym(handle, "mmap");
	return guard.foreign_free && guard.foreign_realloc && guard.foreign_mmap ? 0 : -ENOEXEC;
}

int verbs_memory_guard(void *handle)
{
	int err;

	memset(&guard, 0, sizeof(guard));
	if (dlinfo(handle, RTLD_DI_LMID, &guard.namespace))
		return -ENOEXEC;
	err = find_foreign(handle);
	if (err)
		return err;
	guard.pool = verbs_pool_open(POOL_BYTES);
	if (!guard.pool)
		return -ENOMEM;
	return treat_all(handle);
}
