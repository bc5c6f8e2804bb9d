#include "pager/tree.h"

#include "common/base/clock.h"
#include "pager/rundir.h"
#include "pager/share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "tree-"
#define MAGIC 0x3165657274474150ull
#define SEATS 512u
/* Whoever is not heard of for so long is looked for; and gives up its seat after the latter. */
#define SILENT_NS UINT64_C(1500000000)
#define FORGOTTEN_NS UINT64_C(60000000000)
#define GROWN_PAGES 64u

/* Written by the process that has it. */
struct tree_seat {
	_Alignas(64) _Atomic uint64_t owner; /* see find_self(); 0: free */
	_Atomic uint32_t grows;
	_Atomic uint64_t used, missing; /* pages, pages a second */
	_Atomic uint64_t heard_ns;
};

struct tree_file {
	uint64_t magic;
	struct tree_seat seats[SEATS];
};

#define FILE_BYTES ((sizeof(struct tree_file) + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1))

/* Inherited by fork, also where the child could not open it any more. */
static struct tree_file *mapped;
static uint64_t self; /* see find_self(); of whoever has taken a seat last */

/* ---- the file ---- */

static int map_file(int fd, struct tree_file **out)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < FILE_BYTES)
		return -EPROTO;
	at = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*out = at;
	return 0;
}

/* Not what is no such file. */
static int open_file(int dir, const char *path, struct tree_file **out)
{
	int fd = openat(dir, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = map_file(fd, out);
	close(fd);
	if (!err && (*out)->magic != MAGIC) {
		munmap(*out, FILE_BYTES);
		err = -EPROTO;
	}
	return err;
}

/* ---- seats ---- */

static bool is_silent(const struct tree_seat *seat, uint64_t now_ns, uint64_t longer_than)
{
	uint64_t heard = atomic_load(&seat->heard_ns);

	return now_ns > heard && now_ns - heard > longer_than;
}

/* The process id, below the number of the PID namespace in which that is its. */
static void find_self(void)
{
	struct stat st;
	uint64_t namespace = stat("/proc/self/ns/pid", &st) ? 0 : (uint32_t)st.st_ino;

	self = namespace << 32 | (uint32_t)getpid();
}

/*
 * In another namespace its number may be somebody else's, or nobody's. A look costs a system call:
 * `patience_ns` is for how long nobody looks.
 */
static bool is_gone(const struct tree_seat *seat, uint64_t owner, uint64_t now_ns,
		    uint64_t patience_ns)
{
	if (!is_silent(seat, now_ns, patience_ns))
		return false;
	return is_silent(seat, now_ns, FORGOTTEN_NS) ||
	       (owner >> 32 == self >> 32 && kill((pid_t)(uint32_t)owner, 0) && errno == ESRCH);
}

/* Whether somebody sits there; whoever is gone does not from now on. */
static bool is_taken(struct tree_seat *seat, uint64_t now_ns, uint64_t patience_ns)
{
	uint64_t owner = atomic_load(&seat->owner);

	if (!owner)
		return false;
	if (!is_gone(seat, owner, now_ns, patience_ns))
		return true;
	atomic_compare_exchange_strong(&seat->owner, &owner, 0);
	return false;
}

static void sit_down(struct tree_seat *seat, uint64_t now_ns)
{
	atomic_store(&seat->used, 0);
	atomic_store(&seat->missing, 0);
	atomic_store(&seat->grows, 0);
	atomic_store(&seat->heard_ns, now_ns);
}

/* The seat that this process has had before execve(2), or a free one. */
static struct tree_seat *find_seat(struct tree_file *file, uint64_t now_ns)
{
	for (unsigned i = 0; i < SEATS; i++)
		if (atomic_load(&file->seats[i].owner) == self)
			return &file->seats[i];
	for (unsigned i = 0; i < SEATS; i++) {
		uint64_t nobody = 0;

		if (!is_taken(&file->seats[i], now_ns, SILENT_NS) &&
		    atomic_compare_exchange_strong(&file->seats[i].owner, &nobody, self))
			return &file->seats[i];
	}
	return NULL;
}

static bool is_empty(struct tree_file *file, uint64_t now_ns)
{
	for (unsigned i = 0; i < SEATS; i++)
		if (is_taken(&file->seats[i], now_ns, 0))
			return false;
	return true;
}

/* ---- for pagerctl ---- */

static void sweep(int dir)
{
	DIR *list = fdopendir(dup(dir));
	struct dirent *entry;
	struct tree_file *file;

	if (!list)
		return;
	while ((entry = readdir(list))) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    open_file(dir, entry->d_name, &file))
			continue;
		if (is_empty(file, clock_ns()))
			(void)unlinkat(dir, entry->d_name, 0);
		munmap(file, FILE_BYTES);
	}
	closedir(list);
}

static int make_file(int dir, const char *name)
{
	struct tree_file *file;
	int fd = rundir_file(dir, name, FILE_BYTES);
	int err;

	if (fd < 0)
		return fd;
	err = map_file(fd, &file);
	close(fd);
	if (err) {
		(void)unlinkat(dir, name, 0);
		return err;
	}
	sit_down(&file->seats[0], clock_ns());
	atomic_store(&file->seats[0].owner, self);
	file->magic = MAGIC;
	munmap(file, FILE_BYTES);
	return 0;
}

int tree_create(char path[TREE_PATH_BYTES])
{
	int dir = rundir_make();
	const char *name;
	int err;

	if (dir < 0)
		return dir;
	find_self();
	sweep(dir);
	snprintf(path, TREE_PATH_BYTES, RUNDIR "%u/" PREFIX "%d-%llx", geteuid(), getpid(),
		 (unsigned long long)clock_ns());
	name = strrchr(path, '/') + 1;
	err = make_file(dir, name);
	close(dir);
	return err;
}

/* ---- for the engine ---- */

int tree_join(struct tree *tree, const char *path)
{
	uint64_t now_ns = clock_ns();
	int err = mapped ? 0 : open_file(AT_FDCWD, path, &mapped);

	if (err)
		return err;
	snprintf(tree->path, sizeof(tree->path), "%s", path);
	tree->told_ns = now_ns;
	find_self();
	tree->seat = find_seat(mapped, now_ns);
	if (!tree->seat)
		return -EUSERS;
	sit_down(tree->seat, now_ns);
	return 0;
}

static void say(struct tree *tree, const struct tree_news *news, uint64_t now_ns)
{
	uint64_t elapsed = now_ns - tree->told_ns;
	bool grows = news->at_limit || news->used > tree->used + GROWN_PAGES;

	tree->missing = share_missing(tree->missing, news->faults - tree->faults, elapsed);
	tree->used = news->used;
	tree->faults = news->faults;
	tree->told_ns = now_ns;
	atomic_store(&tree->seat->used, news->used);
	atomic_store(&tree->seat->missing, tree->missing);
	atomic_store(&tree->seat->grows, grows);
	atomic_store(&tree->seat->heard_ns, now_ns);
}

uint64_t tree_turn(struct tree *tree, const struct tree_news *news, uint64_t total, uint64_t least,
		   uint64_t now_ns)
{
	uint64_t elapsed = now_ns - tree->told_ns;
	struct share_member members[SEATS];
	unsigned n = 0, own = 0;

	if (!tree->seat || atomic_load(&tree->has_left))
		return total;
	say(tree, news, now_ns);
	for (unsigned i = 0; i < SEATS; i++) {
		struct tree_seat *seat = &mapped->seats[i];

		if (seat == tree->seat)
			own = n;
		else if (!is_taken(seat, now_ns, SILENT_NS))
			continue;
		members[n++] = (struct share_member){.used = atomic_load(&seat->used),
						     .missing = atomic_load(&seat->missing),
						     .grows = atomic_load(&seat->grows)};
	}
	return share_of(members, n, own, total, least, elapsed);
}

void tree_leave(struct tree *tree)
{
	if (!tree->seat || atomic_exchange(&tree->has_left, true))
		return;
	atomic_store(&tree->seat->owner, 0);
	if (is_empty(mapped, clock_ns()))
		(void)unlink(tree->path);
}
