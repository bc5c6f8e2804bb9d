#include "pager/ctl/stat.h"

#include "common/base/parse.h"
#include "pager/ctl/ctl.h"
#include "pager/ctl/format.h"
#include "pager/rundir.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OPT_ALL = 1, OPT_JSON, OPT_WATCH };

static const struct option options[] = {
	{"all", no_argument, NULL, OPT_ALL},
	{"json", no_argument, NULL, OPT_JSON},
	{"watch", required_argument, NULL, OPT_WATCH},
	{NULL, 0, NULL, 0},
};

/* Faster than this shows nothing to anybody and costs the host. A guess. */
#define MIN_WATCH_MS 100u
/* The largest pid_max that Linux allows. */
#define MAX_PID (1u << 22)

struct request {
	uint32_t pid; /* 0: all of this user */
	bool json;
	uint32_t watch_ms; /* 0: once */
	bool shown;	   /* when watching: once at least */
	bool ended;	   /* since */
};

/* ---- command line ---- */

static int take_watch(struct request *request, const char *text)
{
	if (parse_duration_ms(text, &request->watch_ms) || request->watch_ms < MIN_WATCH_MS)
		return ctl_fail(CTL_USAGE,
				"stat: --watch %s: write seconds, for example 1, or 500ms; "
				"at least %ums",
				text, MIN_WATCH_MS);
	return 0;
}

static int take_pid(struct request *request, bool all, int count, char **words)
{
	uint64_t pid;

	if (count > 1 || (count && all))
		return ctl_fail(CTL_USAGE, "stat: %s: one process id or --all, not more",
				words[all ? 0 : 1]);
	if (!count)
		return 0;
	if (parse_number(words[0], 1, MAX_PID, &pid))
		return ctl_fail(CTL_USAGE, "stat: %s: not a process id: write a number, or --all",
				words[0]);
	request->pid = (uint32_t)pid;
	return 0;
}

static int parse(int argc, char **argv, struct request *request)
{
	bool all = false;
	int option;
	int err;

	ctl_options_begin();
	while ((option = ctl_option_next(argc, argv, CTL_OPTIONS_ANYWHERE, options)) != -1) {
		err = 0;
		if (option == OPT_ALL)
			all = true;
		else if (option == OPT_JSON)
			request->json = true;
		else if (option == OPT_WATCH)
			err = take_watch(request, optarg);
		else
			err = CTL_USAGE;
		if (err)
			return err;
	}
	return take_pid(request, all, argc - optind, argv + optind);
}

/* ---- showing ---- */

/* One line each when watching, so that a reader can take them one by one. */
static int put_json(json_t *json, const struct request *request)
{
	size_t flags = request->watch_ms ? JSON_COMPACT : JSON_INDENT(2);
	int err;

	if (!json)
		return ctl_fail(CTL_FAILED, "stat: no memory");
	err = json_dumpf(json, stdout, flags);
	json_decref(json);
	if (err)
		return ctl_fail(CTL_FAILED, "stat: cannot write");
	putchar('\n');
	return CTL_OK;
}

static void read_program(uint32_t pid, char out[16])
{
	char path[40];
	FILE *comm;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	comm = fopen(path, "re");
	if (!comm)
		return;
	if (fgets(out, 16, comm))
		out[strcspn(out, "\n")] = '\0';
	fclose(comm);
	format_plain(out);
}

/* 1, 0, -EACCES for a process of somebody else, -ESRCH for one that has ended or is about to. */
static int carries_library(uint32_t pid)
{
	char path[40];
	char *line = NULL;
	size_t room = 0;
	int found = -ESRCH; /* memory goes first, and an empty map is left for a while */
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == EACCES || errno == EPERM ? -EACCES : -ESRCH;
	while (found <= 0 && getline(&line, &room, maps) > 0)
		found = strstr(line, "/libpager.so") != NULL;
	/* The kernel says no here only when it is read. */
	if (ferror(maps))
		found = -EACCES;
	free(line);
	fclose(maps);
	return found;
}

static int show_inactive(struct request *request)
{
	char program[16];
	int carries = carries_library(request->pid);

	if (carries == -ESRCH && request->shown) {
		request->ended = true;
		return CTL_OK;
	}
	if (carries == -ESRCH)
		return ctl_fail(CTL_FAILED, "stat: %u: no such process", request->pid);
	read_program(request->pid, program);
	if (carries == -EACCES)
		return ctl_fail(CTL_FAILED,
				"stat: %u: not yours to look at: ask as its user or as root",
				request->pid);
	if (!carries)
		return ctl_fail(
			CTL_FAILED,
			"stat: %u (%s): runs without libpager.so: start it with pagerctl run",
			request->pid, program);
	if (request->json)
		return put_json(stat_json_inactive(request->pid, program), request);
	printf("%s, pid %u\ncarries libpager.so; not active: "
	       "its memory is not near the budget yet, or it has no donors\n",
	       program, request->pid);
	return CTL_OK;
}

static int read_page(uint32_t pid, struct stats_page *out)
{
	unsigned i;
	int err;

	err = stats_read(pid, out);
	if (err)
		return err;
	format_plain(out->program);
	for (i = 0; i < out->donor_count; i++) {
		format_plain(out->donors[i].name);
		format_plain(out->donors[i].transport);
	}
	return 0;
}

static int show_one(struct request *request)
{
	static struct stats_page page;
	int err = read_page(request->pid, &page);

	switch (err) {
	case 0:
		if (request->json)
			return put_json(stat_json(&page), request);
		stat_print(stdout, &page);
		return CTL_OK;
	case -ENOENT:
	case -ESRCH:
		return show_inactive(request);
	case -EACCES:
		return ctl_fail(CTL_FAILED,
				"stat: %u: not yours to look at: ask as its user or as root",
				request->pid);
	case -EPROTO:
		return ctl_fail(CTL_FAILED,
				"stat: %u: its libpager.so is of another version than pagerctl %s",
				request->pid, LIBPAGER_VERSION);
	default:
		return ctl_fail(CTL_FAILED, "stat: %u: %s", request->pid, strerror(-err));
	}
}

struct walk {
	json_t *list; /* NULL for text */
	unsigned count;
	bool no_memory;
};

static void show_line(void *arg, uint32_t pid)
{
	static struct stats_page page;
	struct walk *walk = arg;

	/* It may have ended since it was listed, and that is no error of ours. */
	if (read_page(pid, &page))
		return;
	if (walk->list) {
		if (json_array_append_new(walk->list, stat_json(&page)))
			walk->no_memory = true;
		return;
	}
	if (!walk->count++)
		stat_print_heading(stdout);
	stat_print_line(stdout, &page);
}

static int show_all(const struct request *request)
{
	struct walk walk = {.list = request->json ? json_array() : NULL};
	int err = stats_each(show_line, &walk);

	if (!err && walk.no_memory)
		err = -ENOMEM;
	if (err) {
		json_decref(walk.list);
		return ctl_fail(CTL_FAILED, "stat: " RUNDIR "%u: %s", geteuid(), strerror(-err));
	}
	if (request->json)
		return put_json(walk.list, request);
	if (!walk.count)
		puts("no program of this user has memory on donors now");
	return CTL_OK;
}

static int show(struct request *request)
{
	return request->pid ? show_one(request) : show_all(request);
}

/* ---- watching ---- */

/* Until the process ends (which is no failure), somebody interrupts, or nobody reads. */
static int watch(struct request *request)
{
	const struct timespec pause = {.tv_sec = request->watch_ms / 1000,
				       .tv_nsec = (long)(request->watch_ms % 1000) * 1000000};
	bool on_screen = !request->json && isatty(STDOUT_FILENO);
	int status;

	for (;;) {
		if (on_screen)
			fputs("\033[H\033[J", stdout);
		status = show(request);
		if (status || request->ended || fflush(stdout))
			return status;
		request->shown = true;
		nanosleep(&pause, NULL);
		if (!on_screen && !request->json)
			putchar('\n');
	}
}

static int run(int argc, char **argv)
{
	struct request request = {.pid = 0};
	int err;

	err = parse(argc, argv, &request);
	if (err)
		return err;
	return request.watch_ms ? watch(&request) : show(&request);
}

const struct ctl_command ctl_stat = {
	.name = "stat",
	.arguments = "[PID | --all] [--json] [--watch SECONDS]",
	.summary = "show what the engine of a running program does",
	.options = "  --all            every program of this user (so does no PID)\n"
		   "  --json           for programs to read; pagerctl(1) lists the keys\n"
		   "  --watch SECONDS  again and again, until the program ends\n",
	.run = run,
};
