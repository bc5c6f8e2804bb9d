#include "pager/stats.h"

#include "common/base/log.h"
#include "pager/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_BYTES 64
#define SWEEPS_MAX 16 /* of some hundred names each */

static size_t page_span(void)
{
	return (sizeof(struct stats_page) + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* ---- what /proc says ---- */

/* Reads a small file of /proc whole. Returns its length, its end set to NUL. */
static int proc_read(uint32_t pid, const char *name, char *out, size_t room)
{
	char path[NAME_BYTES];
	ssize_t n;
	int fd;
	int err;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, out, room - 1);
	err = n < 0 ? -errno : (int)n;
	close(fd);
	if (err < 0)
		return err;
	out[err] = '\0';
	return err;
}

/* Field 22 of /proc/PID/stat. The name in field 2 may hold anything, so count from its end. */
static int start_ticks(uint32_t pid, uint64_t *out)
{
	char text[1024];
	const char *field;
	int err;
	int i;

	err = proc_read(pid, "stat", text, sizeof(text));
	if (err < 0)
		return err;
	field = strrchr(text, ')');
	for (i = 2; field && i < 22; i++)
		field = strchr(field + 1, ' ');
	if (!field)
		return -EPROTO;
	*out = strtoull(field + 1, NULL, 10);
	return 0;
}

/* The effective user of a process: whose directory its file is in. */
static int process_user(uint32_t pid, uid_t *out)
{
	char text[4096];
	const char *line;
	unsigned effective;
	int err;

	err = proc_read(pid, "status", text, sizeof(text));
	if (err < 0)
		return err;
	line = strstr(text, "\nUid:");
	if (!line || sscanf(line, " Uid: %*u %u", &effective) != 1)
		return -EPROTO;
	*out = (uid_t)effective;
	return 0;
}

/*
 * After execve() the file is still there and the pid and its start are still the same, but nobody
 * writes any more: the new program does not map it. Where maps may not be read, believe the file.
 */
static bool is_mapped_by(uint32_t pid, ino_t inode)
{
	char path[NAME_BYTES];
	char line[PATH_MAX + 100];
	unsigned long long found;
	bool mapped = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return true;
	while (!mapped && fgets(line, sizeof(line), maps))
		mapped = sscanf(line, "%*s %*s %*s %*s %llu", &found) == 1 && found == inode;
	fclose(maps);
	return mapped;
}

/* ---- writer ---- */

/* fd -1: memory without a file. Shared either way, so that the engine never adopts it. */
static int page_map(int fd, struct stats_page **out)
{
	int flags = MAP_SHARED | MAP_POPULATE | (fd < 0 ? MAP_ANONYMOUS : 0);
	void *page;

	page = mmap(NULL, page_span(), PROT_READ | PROT_WRITE, flags, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	/* A child that counted here would count for its parent. */
	if (madvise(page, page_span(), MADV_DONTFORK))
		log_debug("statistics are inherited by fork: %s", strerror(errno));
	*out = page;
	return 0;
}

/* The number of a process that a name stands for; 0 if it is none. */
static pid_t pid_of(const char *name)
{
	char *end;
	unsigned long long number = strtoull(name, &end, 10);

	return *name && !*end && number <= INT_MAX ? (pid_t)number : 0;
}

/*
 * Removes what dead processes left, or children that end by _exit(2) would fill the directory one
 * by one. Without readdir(3), which calls malloc.
 */
static void sweep(int dir)
{
	_Alignas(struct dirent64) char entries[4096];
	long got;

	for (unsigned i = 0;
	     i < SWEEPS_MAX && (got = syscall(SYS_getdents64, dir, entries, sizeof(entries))) > 0;
	     i++) {
		for (long at = 0; at < got;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			pid_t pid = pid_of(entry->d_name);

			if (pid && kill(pid, 0) && errno == ESRCH)
				(void)unlinkat(dir, entry->d_name, 0);
			at += entry->d_reclen;
		}
	}
}

static int page_map_file(struct stats_page **out)
{
	char name[NAME_BYTES];
	int dir;
	int err;
	int fd;

	dir = rundir_make();
	if (dir < 0)
		return dir;
	sweep(dir);
	snprintf(name, sizeof(name), "%d", getpid());
	fd = rundir_file(dir, name, page_span());
	if (fd < 0) {
		close(dir);
		return fd;
	}
	err = page_map(fd, out);
	if (err)
		unlinkat(dir, name, 0);
	close(fd);
	close(dir);
	return err;
}

/* What is not known stays empty: a name or a start that is missing is no reason to fail. */
static void page_describe(struct stats_page *page)
{
	uint32_t pid = (uint32_t)getpid();
	uint64_t ticks;
	int n;

	page->version = STATS_VERSION;
	page->pid = pid;
	if (!start_ticks(pid, &ticks))
		page->start_ticks = ticks;
	n = proc_read(pid, "comm", page->program, sizeof(page->program));
	if (n > 0)
		page->program[strcspn(page->program, "\n")] = '\0';
}

int stats_create(struct stats_page **out)
{
	struct stats_page *page;
	int err;

	err = page_map_file(&page);
	if (err) {
		log_info("pagerctl stat will not see this process: " RUNDIR "%u: %s", geteuid(),
			 strerror(-err));
		err = page_map(-1, out);
		if (!err)
			page_describe(*out);
		return err;
	}
	page_describe(page);
	atomic_thread_fence(memory_order_release);
	page->magic = STATS_MAGIC;
	*out = page;
	return 0;
}

bool stats_any_donor_up(const struct stats_page *page)
{
	for (unsigned i = 0; i < atomic_load(&page->donor_count); i++)
		if (atomic_load(&page->donors[i].state) == STATS_DONOR_UP)
			return true;
	return false;
}

void stats_remove(const struct stats_page *page)
{
	char path[NAME_BYTES];

	/* Without the magic there never was a file. */
	if (!page || page->magic != STATS_MAGIC)
		return;
	snprintf(path, sizeof(path), RUNDIR "%u/%u", geteuid(), page->pid);
	if (unlink(path) && errno != ENOENT)
		log_debug("cannot remove %s: %s", path, strerror(errno));
}

/* ---- reader ---- */

/* The file is another program's: whatever it holds must not lead us outside of the copy. */
static void page_tame(struct stats_page *page)
{
	unsigned i;

	page->program[sizeof(page->program) - 1] = '\0';
	if (page->donor_count > STATS_MAX_DONORS)
		page->donor_count = STATS_MAX_DONORS;
	for (i = 0; i < STATS_MAX_DONORS; i++) {
		page->donors[i].name[sizeof(page->donors[i].name) - 1] = '\0';
		page->donors[i].transport[sizeof(page->donors[i].transport) - 1] = '\0';
	}
}

static int page_read(int fd, struct stats_page *out)
{
	ssize_t n;

	/* A copy, not a mapping: a file cut short under a mapping would be a SIGBUS. */
	memset(out, 0, sizeof(*out));
	n = pread(fd, out, sizeof(*out), 0);
	if (n < 0)
		return -errno;
	if (out->magic != STATS_MAGIC)
		return -ENOENT;
	if (out->version != STATS_VERSION || n < (ssize_t)sizeof(*out))
		return -EPROTO;
	page_tame(out);
	return 0;
}

bool stats_is_by(const struct stats_page *page, uint32_t pid)
{
	uint64_t ticks;

	return page->pid == pid && !start_ticks(pid, &ticks) && ticks == page->start_ticks;
}

/* Whether the process that wrote the page is the one that has its pid now, and still writes. */
static int page_verify(int fd, uint32_t pid, const struct stats_page *page)
{
	struct stat st;
	uint64_t ticks;
	int err;

	err = start_ticks(pid, &ticks);
	if (err)
		return err;
	if (fstat(fd, &st))
		return -errno;
	return stats_is_by(page, pid) && is_mapped_by(pid, st.st_ino) ? 0 : -ENOENT;
}

int stats_read(uint32_t pid, struct stats_page *out)
{
	char name[NAME_BYTES];
	uid_t user;
	int dir;
	int err;
	int fd;

	err = process_user(pid, &user);
	if (err)
		return err;
	dir = rundir_open(user);
	if (dir < 0)
		return dir;
	snprintf(name, sizeof(name), "%u", pid);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	close(dir);
	if (err)
		return err;
	err = page_read(fd, out);
	if (!err)
		err = page_verify(fd, pid, out);
	close(fd);
	return err;
}

/* Whether a name in the directory is a process that lives; what is left of a dead one goes. */
static bool is_live(int dir, const char *name, uint32_t *pid)
{
	uint64_t ticks;

	*pid = (uint32_t)pid_of(name);
	if (!*pid)
		return false;
	if (start_ticks(*pid, &ticks) != -ESRCH)
		return true;
	if (unlinkat(dir, name, 0) && errno != ENOENT)
		log_debug("cannot remove what process %u left: %s", *pid, strerror(errno));
	return false;
}

int stats_each(void (*fn)(void *arg, uint32_t pid), void *arg)
{
	struct dirent *entry;
	uint32_t pid;
	DIR *list;
	int dir;
	int err;

	dir = rundir_open(geteuid());
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	list = fdopendir(dir);
	if (!list) {
		err = -errno;
		close(dir);
		return err;
	}
	while ((entry = readdir(list)))
		if (is_live(dir, entry->d_name, &pid))
			fn(arg, pid);
	closedir(list);
	return 0;
}
