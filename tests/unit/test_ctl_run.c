#include "pager/ctl/run.h"

#include "pager/ctl/ctl.h"
#include "tests/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WORDS 32

static struct run_request request;
static char *words[MAX_WORDS];
static char complaint[1000];

/* Splits at blanks, parses, and keeps what went to standard error in `complaint`. */
static int parse(const char *line)
{
	static char text[1000];
	int kept = dup(STDERR_FILENO);
	int into[2];
	int argc = 0;
	ssize_t n;
	int status;

	strcpy(text, line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		words[argc++] = word;
	words[argc] = NULL;
	CU_ASSERT_FATAL(pipe2(into, O_NONBLOCK) == 0 && dup2(into[1], STDERR_FILENO) >= 0);
	status = run_parse(argc, words, &request);
	CU_ASSERT_FATAL(dup2(kept, STDERR_FILENO) >= 0);
	n = read(into[0], complaint, sizeof(complaint) - 1);
	complaint[n > 0 ? n : 0] = '\0';
	close(kept);
	close(into[0]);
	close(into[1]);
	return status;
}

/* Exit status 2, and one line that has the word in it. */
static void is_refused(const char *line, const char *word)
{
	CU_ASSERT_EQUAL(parse(line), CTL_USAGE);
	CU_ASSERT_PTR_NOT_NULL(strstr(complaint, word));
	CU_ASSERT_PTR_EQUAL(strchr(complaint, '\n'), complaint + strlen(complaint) - 1);
}

static void forget_variables(void)
{
	static const char *const names[] = {
		"LIBPAGER_LOCAL",   "LIBPAGER_DONORS", "LIBPAGER_TRANSPORT", "LIBPAGER_CPU_LATENCY",
		"LIBPAGER_REQUIRE", "LIBPAGER_LOG",    "LIBPAGER_LOG_FILE",  "LD_PRELOAD"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
}

static void options_end_at_the_program(void)
{
	forget_variables();
	CU_ASSERT_EQUAL_FATAL(parse("run --local 1G --donor a:1 ls --local 2 -l"), 0);
	CU_ASSERT_STRING_EQUAL(request.program[0], "ls");
	CU_ASSERT_STRING_EQUAL(request.program[1], "--local");
	CU_ASSERT_EQUAL(request.config.local_bytes, UINT64_C(1) << 30);
	CU_ASSERT_EQUAL_FATAL(parse("run --local=1G --donor=a:1 -- --odd -- x"), 0);
	CU_ASSERT_STRING_EQUAL(request.program[0], "--odd");
	CU_ASSERT_STRING_EQUAL(request.program[1], "--");
}

static void every_donor_counts(void)
{
	forget_variables();
	CU_ASSERT_EQUAL_FATAL(parse("run --local 1G --donor a:1 --donor b:2,c:3 ls"), 0);
	CU_ASSERT_EQUAL(request.config.donor_count, 3);
	CU_ASSERT_EQUAL(run_set_environment(&request, "/l.so"), 0);
	CU_ASSERT_STRING_EQUAL(getenv("LIBPAGER_DONORS"), "a:1,b:2,c:3");
}

static void options_replace_variables(void)
{
	forget_variables();
	setenv("LIBPAGER_LOCAL", "64M", 1);
	setenv("LIBPAGER_DONORS", "old:1", 1);
	CU_ASSERT_EQUAL_FATAL(parse("run ls"), 0);
	CU_ASSERT_EQUAL(request.config.local_bytes, 64u << 20);
	CU_ASSERT_STRING_EQUAL(request.config.donors[0].text, "old:1");
	CU_ASSERT_EQUAL_FATAL(parse("run --local 32M --donor new:2 ls"), 0);
	CU_ASSERT_EQUAL(request.config.donor_count, 1);
	CU_ASSERT_STRING_EQUAL(request.config.donors[0].text, "new:2");
	CU_ASSERT_EQUAL(run_set_environment(&request, "/l.so"), 0);
	CU_ASSERT_STRING_EQUAL(getenv("LIBPAGER_LOCAL"), "33554432");
}

static void what_is_not_given_is_not_set(void)
{
	forget_variables();
	CU_ASSERT_EQUAL_FATAL(parse("run --local 64M --donor a ls"), 0);
	CU_ASSERT_EQUAL(run_set_environment(&request, "/l.so"), 0);
	CU_ASSERT_PTR_NULL(getenv("LIBPAGER_TRANSPORT"));
	CU_ASSERT_PTR_NULL(getenv("LIBPAGER_CPU_LATENCY"));
	CU_ASSERT_PTR_NULL(getenv("LIBPAGER_REQUIRE"));
	CU_ASSERT_PTR_NULL(getenv("LIBPAGER_LOG"));
	CU_ASSERT_STRING_EQUAL(getenv("LD_PRELOAD"), "/l.so");
}

static void what_is_given_is_set(void)
{
	forget_variables();
	setenv("LD_PRELOAD", "/other.so", 1);
	CU_ASSERT_EQUAL_FATAL(parse("run --local 64M --donor a --transport tcp --require "
				    "--cpu-latency off --log off --log-file /x ls"),
			      0);
	CU_ASSERT_EQUAL(run_set_environment(&request, "/l.so"), 0);
	CU_ASSERT_STRING_EQUAL(getenv("LIBPAGER_TRANSPORT"), "tcp");
	CU_ASSERT_STRING_EQUAL(getenv("LIBPAGER_CPU_LATENCY"), "off");
	CU_ASSERT_STRING_EQUAL(getenv("LIBPAGER_REQUIRE"), "1");
	CU_ASSERT_STRING_EQUAL(getenv("LIBPAGER_LOG"), "off");
	CU_ASSERT_STRING_EQUAL(getenv("LIBPAGER_LOG_FILE"), "/x");
	CU_ASSERT_STRING_EQUAL(getenv("LD_PRELOAD"), "/l.so:/other.so");
}

static void what_is_wrong_is_named(void)
{
	forget_variables();
	is_refused("run --local 1G --donor a", "no program");
	is_refused("run --local 1G ls", "no donor");
	is_refused("run --donor a ls", "--local 512M");
	is_refused("run --local 12Q --donor a ls", "12Q");
	is_refused("run --local 1K --donor a ls", "1K");
	is_refused("run --local -1 --donor a ls", "-1");
	is_refused("run --local 1G --donor a:99999 ls", "a:99999");
	is_refused("run --local 1G --donor unix:here ls", "unix:here");
	is_refused("run --local 1G --donor a --transport udp ls", "udp");
	is_refused("run --local 1G --donor a --cpu-latency never ls", "--cpu-latency never");
	is_refused("run --local 1G --donor a --log loud ls", "loud");
	is_refused("run --local 1G --donors /nowhere/list ls", "/nowhere/list");
	is_refused("run --local 1G --donors nowhere ls", "./nowhere");
	is_refused("run --frob ls", "--frob");
	is_refused("run --require --frob ls", "--frob");
	is_refused("run --require -f ls", "-f");
	is_refused("run --require=1 ls", "--require=1");
	is_refused("run --local", "--local: needs a value");
}

static void a_bad_variable_is_named(void)
{
	forget_variables();
	setenv("LIBPAGER_LOCAL", "lots", 1);
	is_refused("run --donor a ls", "LIBPAGER_LOCAL=lots");
	forget_variables();
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(options_end_at_the_program), SUITE_TEST(every_donor_counts),
		SUITE_TEST(options_replace_variables),	SUITE_TEST(what_is_not_given_is_not_set),
		SUITE_TEST(what_is_given_is_set),	SUITE_TEST(what_is_wrong_is_named),
		SUITE_TEST(a_bad_variable_is_named),	SUITE_END,
	};

	return suite_run("ctl_run", tests);
}
