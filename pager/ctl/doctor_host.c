#include "pager/ctl/doctor.h"

#include "common/base/group.h"
#include "common/base/loop.h"
#include "common/transport/transport.h"
#include "pager/ctl/format.h"
#include "pager/ctl/program.h"
#include "pager/rundir.h"
#include "pager/stats.h"
#include "pager/uffd.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define RDMA_WHY_BYTES 200
/* Under this, registering an arena for RDMA fails at once. Debian's default is an eighth of RAM. */
#define MIN_LOCK_BYTES (64u << 20)

void doctor_read_line(const char *path, char *out, int room)
{
	FILE *file = fopen(path, "re");

	out[0] = '\0';
	if (!file)
		return;
	if (fgets(out, room, file))
		out[strcspn(out, "\n")] = '\0';
	fclose(file);
}

void doctor_check_kernel(struct report *report)
{
	unsigned major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2)
		report_add(report, REPORT_WARN, "kernel", NULL, "%s %s, an odd version",
			   name.sysname, name.release);
	else if (major < 5 || (major == 5 && minor < 7))
		report_add(report, REPORT_BAD, "kernel", "use Linux 6.8 or newer",
			   "%s %s, which is too old", name.sysname, name.release);
	else if (major < 6 || (major == 6 && minor < 8))
		report_add(report, REPORT_WARN, "kernel", "use Linux 6.8 or newer",
			   "%s %s, which has no UFFDIO_MOVE: see features", name.sysname,
			   name.release);
	else
		report_add(report, REPORT_OK, "kernel", NULL, "%s %s", name.sysname, name.release);
	report_text(report, "release", name.release);
}

/* ---- userfaultfd ---- */

static const char *way_text(enum uffd_way way)
{
	char allowed[8];

	if (way == UFFD_DEVICE)
		return "through /dev/userfaultfd";
	doctor_read_line("/proc/sys/vm/unprivileged_userfaultfd", allowed, sizeof(allowed));
	if (allowed[0] == '1')
		return "to everybody, by vm.unprivileged_userfaultfd";
	return geteuid() == 0 ? "to root" : "by CAP_SYS_PTRACE";
}

static void check_permission(struct report *report, const struct uffd_caps *caps)
{
	static const char fix[] = "let this user open /dev/userfaultfd, or set sysctl "
				  "vm.unprivileged_userfaultfd=1, or run as root";

	if (caps->way == UFFD_NONE)
		report_add(report, REPORT_BAD, "userfaultfd", fix, "not permitted: %s",
			   strerror(-caps->err));
	else if (caps->way == UFFD_USER_ONLY)
		report_add(report, REPORT_BAD, "userfaultfd", fix,
			   "permitted for accesses of the program only, not of its system calls");
	else
		report_add(report, REPORT_OK, "userfaultfd", NULL, "permitted %s",
			   way_text(caps->way));
}

/* Adds " name" to the list of those that are there or the list of those that are not. */
static void list_feature(bool has, const char *name, char *there, char *missing, size_t room)
{
	char *list = has ? there : missing;
	size_t len = strlen(list);

	snprintf(list + len, room - len, " %s", name);
}

static void check_features(struct report *report, const struct uffd_caps *caps)
{
	char missing[160] = "";
	char there[160] = "";

	list_feature(caps->move, "MOVE", there, missing, sizeof(there));
	list_feature(caps->protect, "WRITEPROTECT", there, missing, sizeof(there));
	list_feature(caps->events, "EVENT_REMAP/REMOVE/UNMAP", there, missing, sizeof(there));
	list_feature(caps->fork_events, "EVENT_FORK", there, missing, sizeof(there));
	list_feature(caps->thread_id, "THREAD_ID", there, missing, sizeof(there));
	list_feature(caps->poison, "POISON", there, missing, sizeof(there));
	list_feature(caps->sigbus, "SIGBUS", there, missing, sizeof(there));
	list_feature(caps->wp_async, "WP_ASYNC", there, missing, sizeof(there));
	if ((!caps->move && !caps->protect) || !caps->events)
		report_add(report, REPORT_BAD, "features", "use Linux 6.8 or newer",
			   "userfaultfd lacks%s", missing);
	else if (!caps->move)
		report_add(
			report, REPORT_WARN, "features", "use Linux 6.8 or newer",
			"userfaultfd lacks%s: taking out is slower, stops while memory is pinned "
			"(io_uring, RDMA), and may lose a read with O_DIRECT that takes longer "
			"than "
			"its pages stay here",
			missing);
	else if (missing[0])
		report_add(report, REPORT_OK, "features", NULL, "userfaultfd has%s; not needed:%s",
			   there, missing);
	else
		report_add(report, REPORT_OK, "features", NULL, "userfaultfd has%s", there);
}

void doctor_check_userfaultfd(struct report *report)
{
	struct uffd_caps caps;

	uffd_probe(&caps);
	check_permission(report, &caps);
	if (caps.way != UFFD_NONE)
		check_features(report, &caps);
}

/* ---- the rest ---- */

void doctor_check_library(struct report *report)
{
	char why[PROGRAM_WHY_BYTES];
	char path[PATH_MAX];

	if (program_find_library(NULL, path, why))
		report_add(report, REPORT_BAD, "library", "install it, or set LIBPAGER_SO", "%s",
			   why);
	else
		report_add(report, REPORT_OK, "library", NULL, "%s", path);
}

void doctor_check_uring(struct report *report)
{
	struct loop *loop;
	int err = loop_open(&loop);

	if (err) {
		report_add(report, REPORT_WARN, "io_uring",
			   "set sysctl kernel.io_uring_disabled=0, or permit it in the container",
			   "not permitted, so donord cannot run here: %s", strerror(-err));
		return;
	}
	loop_close(loop);
	report_add(report, REPORT_OK, "io_uring", NULL, "permitted");
}

void doctor_check_memory_lock(struct report *report)
{
	struct rlimit limit = {.rlim_cur = 0};
	char text[FORMAT_BYTES];

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY)
		report_add(report, REPORT_OK, "memory lock", NULL, "unlimited");
	else if (geteuid() != 0 && limit.rlim_cur < MIN_LOCK_BYTES)
		report_add(report, REPORT_WARN, "memory lock",
			   "raise it with ulimit -l, or LimitMEMLOCK= in the unit",
			   "limited to %s, too little for RDMA", format_size(limit.rlim_cur, text));
	else
		report_add(report, REPORT_OK, "memory lock", NULL, "limited to %s%s",
			   format_size(limit.rlim_cur, text),
			   geteuid() == 0 ? ", not for root" : "");
}

/* Whether verbs can be opened here, as an engine would; if not, why. */
static bool can_use_rdma(char why[RDMA_WHY_BYTES])
{
	const struct tp_options options = {.depth = 0};
	struct tp *tp;
	int err = tp_open(TP_VERBS, &options, &tp);

	if (err) {
		snprintf(why, RDMA_WHY_BYTES, "%s", tp_reason(err));
		return false;
	}
	tp_close(tp);
	return true;
}

void doctor_check_rdma(struct report *report)
{
	char why[RDMA_WHY_BYTES];
	DIR *list = opendir("/sys/class/infiniband");
	char names[200] = "";
	struct dirent *entry;
	size_t len = 0;

	while (list && (entry = readdir(list))) {
		if (entry->d_name[0] == '.')
			continue;
		len += (size_t)snprintf(names + len, sizeof(names) - len, " %s", entry->d_name);
		if (len >= sizeof(names))
			break;
	}
	if (list)
		closedir(list);
	if (!names[0])
		report_add(report, REPORT_OK, "rdma", NULL,
			   "no device; not needed for shm and tcp");
	else if (can_use_rdma(why))
		report_add(report, REPORT_OK, "rdma", NULL, "devices:%s", names);
	else
		report_add(
			report, REPORT_WARN, "rdma",
			"install libibverbs and librdmacm with the driver of the device (Debian: "
			"librdmacm1, ibverbs-providers)",
			"devices:%s, and they cannot be used: %s", names, why);
}

void doctor_check_memory_group(struct report *report)
{
	static struct group_scratch scratch;
	uint64_t limit = group_ram(GROUP_ALL_CACHE, &scratch).limit;
	char text[FORMAT_BYTES];

	if (limit == GROUP_NO_LIMIT) {
		report_add(report, REPORT_OK, "memory cgroup", NULL, "no limit");
		return;
	}
	report_add(report, REPORT_OK, "memory cgroup", NULL,
		   "limited to %s: a local budget must leave room under it",
		   format_size(limit, text));
	report_number(report, "limit_bytes", limit);
}

void doctor_check_huge_pages(struct report *report)
{
	char line[80];
	char *mode, *end;

	doctor_read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line));
	mode = strchr(line, '[');
	end = mode ? strchr(mode, ']') : NULL;
	if (!end) {
		report_add(report, REPORT_OK, "huge pages", NULL, "no transparent ones");
		return;
	}
	*end = '\0';
	report_add(report, REPORT_OK, "huge pages", NULL,
		   "transparent ones: %s; they are split where pages are taken out", mode + 1);
}

/* Makes a page as an engine would, and looks whether it can be seen. */
void doctor_check_statistics(struct report *report)
{
	static const char fix[] = "mount a tmpfs on /dev/shm, and let " RUNDIR
				  "UID belong to its user with mode 0700";
	static struct stats_page copy;
	struct stats_page *page;
	int err = stats_create(&page);

	if (!err) {
		err = stats_read((uint32_t)getpid(), &copy);
		stats_remove(page);
	}
	if (err)
		report_add(report, REPORT_WARN, "statistics", fix,
			   "pagerctl stat will see nothing: " RUNDIR "%u: %s", geteuid(),
			   strerror(-err));
	else
		report_add(report, REPORT_OK, "statistics", NULL, "in " RUNDIR "%u", geteuid());
}
