/*
 * Ways in which the kernel reads, writes and waits on memory of a program, for prog_system_calls.c,
 * and the memory it is done with: `memory`, which is paged, and a model of it that is not (shared
 * mappings are not adopted). Whatever is not as it must be ends the program with one line, so
 * little here returns an error.
 */
#ifndef TESTS_INTEGRATION_SYSTEM_CALLS_H
#define TESTS_INTEGRATION_SYSTEM_CALLS_H

#include "common/base/compiler.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PIECE_PAGES 16u /* at most: what a pipe takes without waiting */
#define PIECE_BYTES (PIECE_PAGES * PAGE_BYTES)

/* ---- memory: system_calls_memory.c ---- */

/* Gives up unless it is so: with the way, what was tried, and errno. */
void must(bool is_so, const char *what);
/* Begins and ends a way: `out` is how many pages were out just before the kernel used them. */
void way_begin(const char *name);
void way_end(size_t *out);

/* Maps and fills it, waits until a good part of it is out, and keeps others busy from then on. */
void memory_make(size_t mib);
/* All of it, byte by byte. */
void memory_check(void);

/* Memory that is never paged; for ever. */
void *plain_memory(size_t bytes);
/* Bytes that were never there before, until the next call. PIECE_BYTES at most. */
const char *news(size_t len);

struct piece {
	char *at;	   /* in memory */
	const char *holds; /* the same bytes, in the model */
	size_t len;
};

/* All pages of it are out. */
struct piece piece_out(void);		   /* of any length, neither end at a border */
struct piece piece_out_whole(void);	   /* of whole pages */
struct piece piece_out_struct(size_t len); /* aligned like what malloc(3) returns */
void piece_must_be(const struct piece *piece, const void *bytes); /* what the kernel has read */
/* The kernel has written these bytes, and nothing around them. */
void piece_must_have(const struct piece *piece, const void *bytes);
/* The same for what only the kernel knows. */
void piece_adopt(const struct piece *piece);

/* A part that is left alone by the above, for a way to use as it likes until its end. */
void *borrow(size_t bytes);
/* Until all of it is out, and counts it. May be called by a signal handler. */
void wait_until_out(const void *at, size_t bytes);

/* Whether this is Linux MAJOR.MINOR or newer. */
bool kernel_is(unsigned major, unsigned minor);
pthread_t thread_start(void *(*run)(void *), void *arg);
uint64_t random_next(void);
/* How often a way is to do what it does, and where it may make files. */
extern unsigned rounds;
extern const char *directory;
/* A new empty file in that directory, without a name. */
int scratch_file(int flags);

/* ---- ways: 0, or a negative errno if this system does not do it ---- */

/*
 * system_calls_files.c. The first two write to a file what is then read into memory, and look
 * whether what was in memory that was out is in the file; both leave the offset at its begin.
 */
void file_put(int fd, const char *bytes, size_t len);
void file_must_have(int fd, const struct piece *piece);
int way_read(void);
int way_readv(void);
int way_pread(void);
int way_write(void);
int way_writev(void);
int way_pwrite(void);
int way_direct_read(void);
int way_direct_write(void);
int way_paths(void);

/* system_calls_streams.c */
int way_send(void);
int way_sendmsg(void);
int way_sendfile(void);
int way_splice(void);
int way_vmsplice(void);
int way_tee(void);

/* system_calls_ring.c */
int way_ring_read(void);
int way_ring_write(void);
int way_ring_fixed(void);

/* system_calls_results.c */
int way_results(void);
int way_directory(void);
int way_random(void);
int way_poll(void);
int way_advice(void);
int way_arguments(void);

/* system_calls_threads.c */
int way_futex(void);
int way_futex_op(void);
int way_futex_pi(void);
int way_mutex(void);
int way_robust(void);

/* system_calls_signals.c */
int way_signal_stack(void);
int way_signal_frame(void);
int way_thread_stack(void);
int way_signal_storm(void);
int way_idle_thread(void);
int way_thread_end(void);

/* system_calls_peer.c: another process, which is started before there is anything to page */
void peer_start(void);
NORETURN void peer_main(void);
int way_vm_read(void);
int way_vm_write(void);
int way_vm_self(void);
int way_proc_mem(void);
int way_ptrace(void);

#endif
