#include "pager/ctl/ctl.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

int ctl_fail(int status, const char *fmt, ...)
{
	va_list args;

	fputs("pagerctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

void ctl_options_begin(void)
{
	opterr = 0;
	optind = 0; /* GNU: forget everything, also the place within a word */
}

static int complain(const char *command, const char *word, const char *what)
{
	ctl_fail(CTL_USAGE, "%s: %s: %s: see pagerctl help %s", command, word, what, command);
	return CTL_BAD_OPTION;
}

int ctl_option_next(int argc, char **argv, const char *where, const struct option *table)
{
	int val = getopt_long(argc, argv, where, table, NULL);
	const char letter[] = {'-', (char)optopt, '\0'};

	if (val == ':')
		return complain(argv[0], argv[optind - 1], "needs a value");
	if (val != '?')
		return val;
	/* optopt is the letter of an unknown short option, the val of a long one that has a value
	 * and takes none, or nothing. */
	if (optopt > ' ')
		return complain(argv[0], letter, "no such option");
	return complain(argv[0], argv[optind - 1], optopt ? "takes no value" : "no such option");
}

int ctl_add_donor(struct config *config, const char *command, const char *text)
{
	char why[CONFIG_WHY_BYTES];

	if (config_add_donors(config, text, why))
		return ctl_fail(CTL_USAGE, "%s: --donor %s", command, why);
	return 0;
}

int ctl_add_donor_file(struct config *config, const char *command, const char *path)
{
	char why[CONFIG_WHY_BYTES];
	char text[PATH_MAX];

	/* A list and a file are told apart by a slash, and this is a file whatever it looks like.
	 */
	if (snprintf(text, sizeof(text), "%s%s", path[0] == '/' ? "" : "./", path) >=
	    (int)sizeof(text))
		return ctl_fail(CTL_USAGE, "%s: --donors: the path is too long", command);
	if (config_add_donors(config, text, why))
		return ctl_fail(CTL_USAGE, "%s: --donors %s", command, why);
	return 0;
}
