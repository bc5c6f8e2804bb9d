#include "common/base/log.h"
#include "pager/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

static int help(int argc, char **argv);
static int version(int argc, char **argv);

static const struct ctl_command ctl_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "say what there is, or what a command takes",
	.options = "",
	.run = help,
};

static const struct ctl_command ctl_version = {
	.name = "version",
	.arguments = "",
	.summary = "say which version this is",
	.options = "",
	.run = version,
};

static const struct ctl_command *const commands[] = {
	&ctl_run, &ctl_stat, &ctl_doctor, &ctl_version, &ctl_help,
};

static const struct ctl_command *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static void help_command(const struct ctl_command *command)
{
	printf("usage: pagerctl %s %s\n\n%s\n", command->name, command->arguments,
	       command->summary);
	if (command->options[0])
		printf("\n%s", command->options);
}

static void help_all(void)
{
	size_t i;

	puts("usage: pagerctl COMMAND [OPTIONS]\n\nprograms on the memory of other hosts\n");
	for (i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
	puts("\n`pagerctl help COMMAND` says what a command takes; pagerctl(1) has all of it");
}

static int help(int argc, char **argv)
{
	const struct ctl_command *command;

	if (argc > 2)
		return ctl_fail(CTL_USAGE, "help: takes one command's name at most");
	if (argc < 2) {
		help_all();
		return CTL_OK;
	}
	command = find(argv[1]);
	if (!command)
		return ctl_fail(CTL_USAGE, "help: %s: no such command: see pagerctl help", argv[1]);
	help_command(command);
	return CTL_OK;
}

static int version(int argc, char **argv)
{
	if (argc > 1)
		return ctl_fail(CTL_USAGE, "version: %s: takes no arguments", argv[1]);
	puts("pagerctl " LIBPAGER_VERSION);
	return CTL_OK;
}

/* "--help" after the command's name: also where the other options are wrong or missing. */
static int run(const struct ctl_command *command, int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		help_command(command);
		return CTL_OK;
	}
	return command->run(argc, argv);
}

int main(int argc, char **argv)
{
	const struct ctl_command *command;
	const char *name = argc > 1 ? argv[1] : "";

	log_set_name("pagerctl");
	log_set_level(LOG_ERROR);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	if (!name[0])
		return ctl_fail(CTL_USAGE, "no command given: see pagerctl help");
	command = find(name);
	if (!command)
		return ctl_fail(CTL_USAGE, "%s: no such command: see pagerctl help", name);
	return run(command, argc - 1, argv + 1);
}
