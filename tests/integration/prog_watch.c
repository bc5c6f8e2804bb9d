/*
 * Runs a command and watches it and all its descendants from outside: how much anonymous memory
 * each has resident, every five milliseconds, and what an engine in it says in its statistics,
 * whose file stays readable here after the process has removed it. Ends as the command ended.
 *
 *   prog_watch REPORT COMMAND ARG...
 *
 * The report has one "key value" a line: see report_write().
 */
#include "common/base/clock.h"
#include "pager/rundir.h"
#include "pager/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_NS 5000000
#define LOOK_EVERY 4 /* samples between looks for new processes and engines */
#define MAX_PROCESSES 256

struct watched {
	pid_t pid;
	bool gone;
	int status_fd;
	uint64_t peak_anon_kib;
	const struct stats_page *stats; /* NULL until its engine is active */
	uint64_t peak_remote, peak_metadata;
	bool was_over_budget;
};

static struct watched processes[MAX_PROCESSES];
static unsigned process_count;

static pid_t start(char *const argv[])
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	execvp(argv[0], argv);
	fprintf(stderr, "prog_watch: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void process_add(pid_t pid)
{
	struct watched *process;
	char path[64];
	unsigned i;

	for (i = 0; i < process_count; i++)
		if (processes[i].pid == pid)
			return;
	if (process_count == MAX_PROCESSES)
		return;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	process = &processes[process_count++];
	*process = (struct watched){
		.pid = pid,
		.status_fd = open(path, O_RDONLY | O_CLOEXEC),
	};
}

/* Children that the process's first thread has started; no other thread starts any in our tests. */
static void children_add(pid_t parent)
{
	char path[64];
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fscanf(file, "%d", &pid) == 1)
		process_add(pid);
	fclose(file);
}

/* Returns false when the process has no memory any more. */
static bool anon_kib(const struct watched *process, uint64_t *out)
{
	char text[4096];
	const char *line;
	ssize_t n;

	n = pread(process->status_fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return false;
	text[n] = '\0';
	line = strstr(text, "RssAnon:");
	if (!line)
		return false;
	*out = strtoull(line + strlen("RssAnon:"), NULL, 10);
	return true;
}

static void sample_stats(struct watched *process)
{
	const struct stats_page *stats = process->stats;
	uint64_t remote = stats->remote_bytes;
	uint64_t metadata = stats->metadata_bytes;

	if (remote > process->peak_remote)
		process->peak_remote = remote;
	if (metadata > process->peak_metadata)
		process->peak_metadata = metadata;
	if (stats->over_budget)
		process->was_over_budget = true;
}

static void sample(struct watched *process)
{
	uint64_t kib;

	if (process->gone)
		return;
	if (anon_kib(process, &kib)) {
		if (kib > process->peak_anon_kib)
			process->peak_anon_kib = kib;
	} else {
		process->gone = true;
		close(process->status_fd);
	}
	if (process->stats)
		sample_stats(process);
}

/* Root's for one that must not be looked into; then it is found where it began, or not at all. */
static uid_t user_of(pid_t pid)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return stat(path, &st) ? geteuid() : st.st_uid;
}

/*
 * NULL until the engine there is active. A mapping, not stats_read()'s copy: it shows the last
 * figures even when the process and its file are gone. The file is one of our own child.
 */
static const struct stats_page *map_stats(pid_t pid)
{
	const struct stats_page *stats = MAP_FAILED;
	struct stat st;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), RUNDIR "%u/%d", user_of(pid), pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && st.st_size >= (off_t)sizeof(*stats))
		stats = mmap(NULL, sizeof(*stats), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (stats == MAP_FAILED)
		return NULL;
	/* Another process that was killed may have had this pid. */
	if (stats->magic == STATS_MAGIC && stats->version == STATS_VERSION &&
	    stats_is_by(stats, (uint32_t)pid))
		return stats;
	munmap((void *)(uintptr_t)stats, sizeof(*stats));
	return NULL;
}

static void look_around(void)
{
	unsigned i;

	for (i = 0; i < process_count; i++) {
		if (processes[i].gone)
			continue;
		children_add(processes[i].pid);
		if (!processes[i].stats)
			processes[i].stats = map_stats(processes[i].pid);
	}
}

/* Returns the wait status of the command. */
static int watch(pid_t command)
{
	const struct timespec pause = {.tv_nsec = SAMPLE_NS};
	unsigned round;
	unsigned i;
	int status;

	process_add(command);
	for (round = 0; waitpid(command, &status, WNOHANG) == 0; round++) {
		if (round % LOOK_EVERY == 0)
			look_around();
		for (i = 0; i < process_count; i++)
			sample(&processes[i]);
		nanosleep(&pause, NULL);
	}
	return status;
}

struct totals {
	uint64_t peak_anon_kib, peak_remote, peak_metadata, late_ns;
	uint64_t active, over_budget;
	uint64_t major, minor, fresh, refilled, ahead;
	uint64_t stale, taken, taken_clean, taken_filled, written, refused, corrupt, forks;
};

static void totals_add(struct totals *totals, const struct watched *process)
{
	const struct stats_page *stats = process->stats;

	if (process->peak_anon_kib > totals->peak_anon_kib)
		totals->peak_anon_kib = process->peak_anon_kib;
	if (!stats)
		return;
	totals->active++;
	totals->over_budget += process->was_over_budget;
	totals->peak_remote += process->peak_remote;
	totals->peak_metadata += process->peak_metadata;
	if (stats->late_ns > totals->late_ns)
		totals->late_ns = stats->late_ns;
	totals->major += stats->major;
	totals->minor += stats->minor;
	totals->fresh += stats->fresh;
	totals->refilled += stats->refilled;
	totals->ahead += stats->ahead;
	totals->taken += stats->taken;
	totals->taken_clean += stats->taken_clean;
	totals->stale += stats->stale;
	totals->taken_filled += stats->taken_filled;
	totals->written += stats->written;
	totals->refused += stats->refused;
	totals->corrupt += stats->corrupt;
	totals->forks += stats->forks;
}

static void totals_print(const struct totals *totals, FILE *file)
{
	const struct {
		const char *key;
		uint64_t value;
	} lines[] = {
		{"peak_anon_kib", totals->peak_anon_kib}, /* of the one process that had most */
		{"active", totals->active},		  /* processes whose engine came to work */
		{"over_budget", totals->over_budget}, /* of those, donors were full for some time */
		{"remote_kib", totals->peak_remote / 1024},
		{"metadata_kib", totals->peak_metadata / 1024},
		{"late_ms", totals->late_ns / 1000000}, /* of the one process that was latest */
		{"major", totals->major},
		{"minor", totals->minor},
		{"fresh", totals->fresh},
		{"refilled", totals->refilled},
		{"ahead", totals->ahead},
		{"taken", totals->taken},
		{"taken_clean", totals->taken_clean},
		{"stale", totals->stale},
		{"taken_filled", totals->taken_filled},
		{"written", totals->written},
		{"refused", totals->refused},
		{"corrupt", totals->corrupt},
		{"forks", totals->forks},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(lines); i++)
		fprintf(file, "%s %llu\n", lines[i].key, (unsigned long long)lines[i].value);
}

static int report_write(const char *path, uint64_t elapsed_ns)
{
	struct totals totals = {0};
	FILE *file;
	unsigned i;

	file = fopen(path, "we");
	if (!file)
		return -errno;
	for (i = 0; i < process_count; i++)
		totals_add(&totals, &processes[i]);
	fprintf(file, "elapsed_ms %llu\n", (unsigned long long)(elapsed_ns / 1000000));
	fprintf(file, "processes %u\n", process_count);
	totals_print(&totals, file);
	return fclose(file) ? -errno : 0;
}

static int end_as(int status)
{
	const struct rlimit no_core = {0};

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	uint64_t begun = clock_ns();
	pid_t command;
	int status;
	int err;

	if (argc < 3) {
		fprintf(stderr, "usage: prog_watch REPORT COMMAND ARG...\n");
		return 2;
	}
	command = start(argv + 2);
	if (command < 0) {
		fprintf(stderr, "prog_watch: fork: %s\n", strerror(errno));
		return 2;
	}
	status = watch(command);
	err = report_write(argv[1], clock_ns() - begun);
	if (err) {
		fprintf(stderr, "prog_watch: %s: %s\n", argv[1], strerror(-err));
		return 2;
	}
	return end_as(status);
}
