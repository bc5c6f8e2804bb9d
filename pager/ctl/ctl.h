/*
 * What the subcommands of pagerctl share: how they look to main(), how they read options, and how
 * they complain. One thread; everything ends with the process.
 */
#ifndef PAGER_CTL_CTL_H
#define PAGER_CTL_CTL_H

#include "common/base/compiler.h"
#include "pager/config.h"

#include <getopt.h>

/* What pagerctl itself exits with. `run` becomes its program, and has the program's. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,	     /* what was asked for is not so */
	CTL_USAGE = 2,	     /* what was asked for makes no sense */
	CTL_NOT_RUN = 126,   /* the program is there and cannot be run, as env(1) has it */
	CTL_NOT_FOUND = 127, /* there is no such program */
};

struct ctl_command {
	const char *name;
	const char *arguments;		   /* for the usage line */
	const char *summary;		   /* one line of `pagerctl help` */
	const char *options;		   /* the rest of `pagerctl help NAME`, whole lines */
	int (*run)(int argc, char **argv); /* argv[0] is the name; returns the exit status */
};

extern const struct ctl_command ctl_run, ctl_stat, ctl_doctor;

/* Prints "pagerctl: " and the line on standard error. Returns `status`. */
int ctl_fail(int status, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Where options may be: only in front of the first other word, or anywhere. */
#define CTL_OPTIONS_FIRST "+:"
#define CTL_OPTIONS_ANYWHERE ":"

/*
 * The next option's `val`, -1 when there are none left, CTL_BAD_OPTION after a complaint. `table`
 * is what getopt_long() wants, its vals between 1 and 31. argv[0] is the command's name.
 * ctl_options_begin() comes before the first; optind is the first other word after the last.
 */
#define CTL_BAD_OPTION '?'
void ctl_options_begin(void);
int ctl_option_next(int argc, char **argv, const char *where, const struct option *table);

/* Adds what --donor and --donors give. 0, or CTL_USAGE after a complaint. */
int ctl_add_donor(struct config *config, const char *command, const char *text);
int ctl_add_donor_file(struct config *config, const char *command, const char *path);

#endif
