/*
 * libpager: idle memory of other hosts, used by this program.
 *
 * Most programs never include this: `LD_PRELOAD=libpager.so ./app` with LIBPAGER_LOCAL and
 * LIBPAGER_DONORS in the environment does everything, see libpager(7). A program that links with
 * -lpager starts the same engine by name, and may look at what it does.
 *
 * All functions may be called from any thread. None touches signals, streams or the environment;
 * errno is left as it was. Sizes are in bytes, times in nanoseconds.
 *
 * Caveats, all in libpager(7): fork(2) brings everything home first; a core dump has zeros where
 * pages were out; a donor that dies with pages ends the program (SIGBUS, after one line).
 */
#ifndef LIBPAGER_PAGER_H
#define LIBPAGER_PAGER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PAGER_API __attribute__((visibility("default")))

struct pager_options {
	size_t size;	       /* sizeof(struct pager_options): lets the struct grow */
	uint64_t local;	       /* how much stays resident; at least 8 MiB */
	const char *donors;    /* "host:port,host2" or "unix:/path" or "/path/to/file"; copied */
	const char *transport; /* "auto", "shm", "verbs", "tcp"; NULL for auto */
};

struct pager_stat {
	uint64_t budget, adopted, resident, staged, remote, filled; /* bytes now */
	uint64_t major, minor, fresh;				    /* faults so far */
	uint64_t major_p50_ns, major_p99_ns;
	uint64_t taken, written; /* pages so far */
};

/* "0.1.0" */
PAGER_API const char *pager_version(void);

/*
 * Starts the engine in this process. 0; -EALREADY if it runs (as a preloaded library, or by an
 * earlier call); -EINVAL for options that make no sense: pager_error() then has one line about it.
 * Nothing is connected before the program's memory nears `local`.
 */
PAGER_API int pager_start(const struct pager_options *options);

/* Fills *out. -ENOENT while the program is small or the engine does not run: nothing is out then.
 */
PAGER_API int pager_stat(struct pager_stat *out);

/*
 * Receives the engine's log lines instead of descriptor 2: level 0 debug, 1 info, 2 warning, 3
 * error. Called on a thread of the library's, which has the program's descriptors; must not block
 * for long. NULL restores the default. To be called before pager_start().
 */
PAGER_API void pager_set_log(void (*log)(void *arg, int level, const char *line), void *arg);

/* What was wrong at the last pager_start() that returned -EINVAL. Static memory. */
PAGER_API const char *pager_error(void);

#ifdef __cplusplus
}
#endif

#endif
