#include "pager/config.h"

#include "tests/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config config;
static char why[CONFIG_WHY_BYTES];

/* ---- an environment of our own ---- */

static const char *const *env;

static char *env_get(const char *name)
{
	const char *const *at;
	size_t len = strlen(name);

	for (at = env; *at; at++) {
		if (strncmp(*at, name, len) == 0 && (*at)[len] == '=')
			return (char *)*at + len + 1;
	}
	return NULL;
}

static int from_env(const char *const *variables)
{
	env = variables;
	config_init(&config);
	strcpy(why, "untouched");
	return config_from_env(&config, env_get, why);
}

static int from_one(const char *variable)
{
	const char *const variables[] = {variable, NULL};

	return from_env(variables);
}

/* Checks that a variable is refused, with exactly this line. */
static void refused(const char *variable, const char *line)
{
	CU_ASSERT_EQUAL(from_one(variable), -EINVAL);
	CU_ASSERT_STRING_EQUAL(why, line);
}

static int add(const char *text)
{
	return config_add_donors(&config, text, why);
}

/* ---- a file of donors ---- */

static char file_path[] = "/tmp/test_config.XXXXXX";

static int add_file(const char *bytes, size_t len)
{
	FILE *file = fopen(file_path, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fwrite(bytes, 1, len, file);
	fclose(file);
	config_init(&config);
	return add(file_path);
}

static int add_text(const char *text)
{
	return add_file(text, strlen(text));
}

static void file_refused(const char *text, const char *line)
{
	char expected[CONFIG_WHY_BYTES];

	snprintf(expected, sizeof(expected), "%s%s", file_path, line);
	CU_ASSERT_EQUAL(add_text(text), -EINVAL);
	CU_ASSERT_STRING_EQUAL(why, expected);
}

/* ---- tests ---- */

static void an_empty_environment_asks_for_nothing(void)
{
	CU_ASSERT_EQUAL(from_one(NULL), 0);
	CU_ASSERT_EQUAL(config.donor_count, 0);
	CU_ASSERT_EQUAL(config.local, CONFIG_LOCAL_UNSET);
	CU_ASSERT_EQUAL(config.transport, CONFIG_AUTO);
	CU_ASSERT_EQUAL(config.log_level, LOG_WARN);
	CU_ASSERT_FALSE(config.require);
	CU_ASSERT_FALSE(config.quiet);
	CU_ASSERT_TRUE(config.move);
	CU_ASSERT_STRING_EQUAL(config.log_file, "");
	CU_ASSERT_STRING_EQUAL(why, "untouched");
}

static void an_empty_variable_counts_as_unset(void)
{
	const char *const variables[] = {
		"LIBPAGER_DONORS=", "LIBPAGER_LOCAL=", "LIBPAGER_LOG=", "LIBPAGER_REQUIRE=", NULL};

	CU_ASSERT_EQUAL(from_env(variables), 0);
	CU_ASSERT_EQUAL(config.donor_count, 0);
}

static void every_variable_is_read(void)
{
	const char *const variables[] = {"LIBPAGER_LOCAL=512M",
					 "LIBPAGER_DONORS=10.0.0.7:7000 other",
					 "LIBPAGER_REQUIRE=1",
					 "LIBPAGER_TRANSPORT=tcp",
					 "LIBPAGER_CPU_LATENCY=off",
					 "LIBPAGER_LOG=debug",
					 "LIBPAGER_LOG_FILE=/tmp/log",
					 "LIBPAGER_MOVE=off",
					 NULL};

	CU_ASSERT_EQUAL_FATAL(from_env(variables), 0);
	CU_ASSERT_EQUAL(config.local, CONFIG_LOCAL_SIZE);
	CU_ASSERT_EQUAL(config.local_bytes, 512u << 20);
	CU_ASSERT_EQUAL(config.donor_count, 2);
	CU_ASSERT_EQUAL(config.transport, CONFIG_TCP);
	CU_ASSERT_FALSE(config.keep_awake);
	CU_ASSERT_FALSE(config.move);
	CU_ASSERT_EQUAL(config.log_level, LOG_DEBUG);
	CU_ASSERT_TRUE(config.require);
	CU_ASSERT_STRING_EQUAL(config.log_file, "/tmp/log");
}

static void local_may_be_a_share_of_the_limit(void)
{
	static const char *const wrong[] = {
		"LIBPAGER_LOCAL=0%",   "LIBPAGER_LOCAL=101%", "LIBPAGER_LOCAL=50%%",
		"LIBPAGER_LOCAL=%",    "LIBPAGER_LOCAL=-5%",  "LIBPAGER_LOCAL=12345%",
		"LIBPAGER_LOCAL=Auto", "LIBPAGER_LOCAL=5 %",  "LIBPAGER_LOCAL=autos",
	};

	CU_ASSERT_EQUAL(from_one("LIBPAGER_LOCAL=auto"), 0);
	CU_ASSERT_EQUAL(config.local, CONFIG_LOCAL_AUTO);
	CU_ASSERT_EQUAL(from_one("LIBPAGER_LOCAL=1%"), 0);
	CU_ASSERT_EQUAL(config.local, CONFIG_LOCAL_PERCENT);
	CU_ASSERT_EQUAL(config.local_percent, 1);
	CU_ASSERT_EQUAL(from_one("LIBPAGER_LOCAL=100%"), 0);
	CU_ASSERT_EQUAL(config.local_percent, 100);
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
		CU_ASSERT_EQUAL(from_one(wrong[i]), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "write for example 512M, 50% or auto"));
}

static void log_off_is_quiet_and_require_0_is_not(void)
{
	CU_ASSERT_EQUAL(from_one("LIBPAGER_LOG=off"), 0);
	CU_ASSERT_TRUE(config.quiet);
	CU_ASSERT_EQUAL(from_one("LIBPAGER_REQUIRE=0"), 0);
	CU_ASSERT_FALSE(config.require);
}

static void a_wrong_text_is_named_with_what_was_expected(void)
{
	refused("LIBPAGER_LOCAL=12Q",
		"LIBPAGER_LOCAL=12Q: not a size: write for example 512M, 50% or auto");
	refused("LIBPAGER_LOCAL=-1",
		"LIBPAGER_LOCAL=-1: not a size: write for example 512M, 50% or auto");
	refused("LIBPAGER_LOCAL=99999999999T", "LIBPAGER_LOCAL=99999999999T: too large a size");
	refused("LIBPAGER_LOCAL=4M", "LIBPAGER_LOCAL=4M: too small: at least 8M is needed");
	refused("LIBPAGER_LOCAL=0", "LIBPAGER_LOCAL=0: too small: at least 8M is needed");
	refused("LIBPAGER_TRANSPORT=rdma",
		"LIBPAGER_TRANSPORT=rdma: not a transport: write auto, shm, verbs or tcp");
	refused("LIBPAGER_CPU_LATENCY=0", "LIBPAGER_CPU_LATENCY=0: write auto or off");
	refused("LIBPAGER_MOVE=on", "LIBPAGER_MOVE=on: write auto or off");
	refused("LIBPAGER_REQUIRE=yes", "LIBPAGER_REQUIRE=yes: write 0 or 1");
	refused("LIBPAGER_LOG=loud",
		"LIBPAGER_LOG=loud: not a log level: write debug, info, warn, error or off");
	refused("LIBPAGER_DONORS=a:b", "LIBPAGER_DONORS: a:b: not a donor: write for example "
				       "10.0.0.7:7471 or unix:/run/donord.sock");
	refused("LIBPAGER_DONORS= ,", "LIBPAGER_DONORS: names no donor: write for example "
				      "10.0.0.7:7471 or unix:/run/donord.sock");
	refused("LIBPAGER_DONORS=/nowhere/donors",
		"LIBPAGER_DONORS: /nowhere/donors: cannot be read: No such file or directory");
}

static void a_message_stays_one_line_that_keeps_its_advice(void)
{
	static char text[5000];

	refused("LIBPAGER_LOCAL=1\n2",
		"LIBPAGER_LOCAL=1?2: not a size: write for example 512M, 50% or "
		"auto");
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "LIBPAGER_DONORS=", 16);
	CU_ASSERT_EQUAL(from_one(text), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "unix:/run/donord.sock"));
	memcpy(text, "LIBPAGER_LOG_FILE=", 18);
	CU_ASSERT_EQUAL(from_one(text), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "too long: at most 255"));
	CU_ASSERT_STRING_EQUAL(config.log_file, "");
}

static void a_list_may_be_separated_by_commas_and_blanks(void)
{
	config_init(&config);
	CU_ASSERT_EQUAL_FATAL(add("one, two:8000\tunix:/run/d.sock ,[::1]:9,,"), 0);
	CU_ASSERT_EQUAL_FATAL(config.donor_count, 4);
	CU_ASSERT_STRING_EQUAL(config.donors[0].host, "one");
	CU_ASSERT_EQUAL(config.donors[0].port, 7471);
	CU_ASSERT_STRING_EQUAL(config.donors[1].text, "two:8000");
	CU_ASSERT_EQUAL(config.donors[1].port, 8000);
	CU_ASSERT_STRING_EQUAL(config.donors[2].path, "/run/d.sock");
	CU_ASSERT_STRING_EQUAL(config.donors[2].host, "");
	CU_ASSERT_STRING_EQUAL(config.donors[3].host, "::1");
	CU_ASSERT_EQUAL(config.donors[3].port, 9);
}

static void what_is_no_donor_is_refused(void)
{
	static const char *const wrong[] = {
		":7471",   "host:", "host:0", "host:65536", "host:7471x", "unix:",   "unix:rel/d",
		"tcp://h", "a;b",   "[::1",   "host/path",  "h\x01st",	  "[]:7471",
	};
	char path[200];
	unsigned i;

	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		config_init(&config);
		CU_ASSERT_EQUAL(add(wrong[i]), -EINVAL);
		CU_ASSERT_EQUAL(config.donor_count, 0);
	}
	snprintf(path, sizeof(path), "unix:/%0150d", 0); /* longer than a socket's path may be */
	CU_ASSERT_EQUAL(add(path), -EINVAL);
}

static void a_donor_named_twice_counts_once(void)
{
	config_init(&config);
	CU_ASSERT_EQUAL(add("host,HOST:7471 host:7472"), 0);
	CU_ASSERT_EQUAL(add("host:7471,unix:/d,unix:/d"), 0);
	CU_ASSERT_EQUAL(config.donor_count, 3);
}

static void more_donors_than_are_used_are_refused(void)
{
	char name[32];
	unsigned i;

	config_init(&config);
	for (i = 0; i < CONFIG_MAX_DONORS; i++) {
		snprintf(name, sizeof(name), "host%u", i);
		CU_ASSERT_EQUAL(add(name), 0);
	}
	CU_ASSERT_EQUAL(add("host1"), 0);
	CU_ASSERT_EQUAL(add("last"), -EINVAL);
	CU_ASSERT_STRING_EQUAL(why, "last: one donor too many: at most 64 are used");
	CU_ASSERT_EQUAL(config.donor_count, CONFIG_MAX_DONORS);
}

static void a_file_has_a_donor_a_line(void)
{
	CU_ASSERT_EQUAL_FATAL(add_text("# rack 3\r\n\r\n  one:7000  # slow\r\n\t\ntwo\nunix:/d"),
			      0);
	CU_ASSERT_EQUAL_FATAL(config.donor_count, 3);
	CU_ASSERT_STRING_EQUAL(config.donors[0].text, "one:7000");
	CU_ASSERT_STRING_EQUAL(config.donors[1].text, "two");
	CU_ASSERT_STRING_EQUAL(config.donors[2].path, "/d");
}

static void a_wrong_line_of_a_file_is_named_by_number(void)
{
	file_refused("one\n\n# x\ntwo:x\n", " line 4: two:x: not a donor: write for example "
					    "10.0.0.7:7471 or unix:/run/donord.sock");
	file_refused("one\ntwo three\n", " line 2: two three: one donor a line is expected");
	file_refused("# nothing\n\n", ": names no donor: one a line is expected");
	CU_ASSERT_EQUAL(add("one"), 0);
	CU_ASSERT_EQUAL(add(file_path), -EINVAL);
	CU_ASSERT_EQUAL(add_text("one\none\n"), 0);
	CU_ASSERT_EQUAL(add(file_path), 0); /* nothing new, and nothing wrong */
	file_refused("", ": names no donor: one a line is expected");
}

static void a_file_that_is_no_list_is_refused(void)
{
	static char bytes[100000];

	memset(bytes, 'a', sizeof(bytes));
	CU_ASSERT_EQUAL(add_file(bytes, sizeof(bytes)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, " line 1: longer than 1022 characters"));
	CU_ASSERT_EQUAL(add_file("a\nb\0c\n", 6), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, " line 2: not text"));
	CU_ASSERT_EQUAL(add("/"), -EISDIR);
	CU_ASSERT_STRING_EQUAL(why, "/: cannot be read: Is a directory");
}

static void a_pipe_in_place_of_a_file_does_not_hang(void)
{
	char path[sizeof(file_path) + 8];

	snprintf(path, sizeof(path), "%s.fifo", file_path);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	config_init(&config);
	CU_ASSERT_EQUAL(add(path), -EINVAL);
	unlink(path);
}

static void a_long_file_is_read_to_its_end(void)
{
	static char text[60000];
	unsigned i;
	int len = 0;

	for (i = 0; i < 1000; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "host%u # number %u\n",
				i % CONFIG_MAX_DONORS, i);
	CU_ASSERT_EQUAL(add_file(text, (size_t)len), 0);
	CU_ASSERT_EQUAL(config.donor_count, CONFIG_MAX_DONORS);
	CU_ASSERT_STRING_EQUAL(config.donors[63].host, "host63");
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(an_empty_environment_asks_for_nothing),
		SUITE_TEST(an_empty_variable_counts_as_unset),
		SUITE_TEST(every_variable_is_read),
		SUITE_TEST(local_may_be_a_share_of_the_limit),
		SUITE_TEST(log_off_is_quiet_and_require_0_is_not),
		SUITE_TEST(a_wrong_text_is_named_with_what_was_expected),
		SUITE_TEST(a_message_stays_one_line_that_keeps_its_advice),
		SUITE_TEST(a_list_may_be_separated_by_commas_and_blanks),
		SUITE_TEST(what_is_no_donor_is_refused),
		SUITE_TEST(a_donor_named_twice_counts_once),
		SUITE_TEST(more_donors_than_are_used_are_refused),
		SUITE_TEST(a_file_has_a_donor_a_line),
		SUITE_TEST(a_wrong_line_of_a_file_is_named_by_number),
		SUITE_TEST(a_file_that_is_no_list_is_refused),
		SUITE_TEST(a_pipe_in_place_of_a_file_does_not_hang),
		SUITE_TEST(a_long_file_is_read_to_its_end),
		SUITE_END,
	};
	int fd = mkstemp(file_path);
	int status;

	if (fd < 0)
		return 2;
	close(fd);
	status = suite_run("config", tests);
	unlink(file_path);
	return status;
}
