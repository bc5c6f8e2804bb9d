#include "common/base/log.h"
#include "tests/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct heard {
	unsigned lines;
	enum log_level level;
	char last[LOG_LINE_BYTES];
};

static void hear(void *arg, enum log_level level, const char *line)
{
	struct heard *heard = arg;

	heard->lines++;
	heard->level = level;
	strcpy(heard->last, line);
	errno = EBADF;
}

static struct heard listen_anew(void)
{
	return (struct heard){.lines = 0};
}

static void a_sink_hears_each_line_once(void)
{
	struct heard heard = listen_anew();

	log_set_sink(hear, &heard);
	log_warn("donor %s gone, %d leases lost", "10.0.0.7:7471", 312);
	log_set_sink(NULL, NULL);
	CU_ASSERT_EQUAL(heard.lines, 1);
	CU_ASSERT_EQUAL(heard.level, LOG_WARN);
	CU_ASSERT_STRING_EQUAL(heard.last, "donor 10.0.0.7:7471 gone, 312 leases lost");
}

static void lines_below_the_level_are_not_heard(void)
{
	struct heard heard = listen_anew();

	log_set_sink(hear, &heard);
	log_debug("too low at start");
	CU_ASSERT_EQUAL(heard.lines, 0);
	log_set_level(LOG_ERROR);
	log_warn("too low now");
	CU_ASSERT_EQUAL(heard.lines, 0);
	log_error("high enough");
	CU_ASSERT_EQUAL(heard.lines, 1);
	log_set_level(LOG_DEBUG);
	log_debug("everything");
	CU_ASSERT_EQUAL(heard.lines, 2);
	log_set_level(LOG_INFO);
	log_set_sink(NULL, NULL);
}

static void a_long_line_is_cut(void)
{
	static char text[3 * LOG_LINE_BYTES];
	struct heard heard = listen_anew();

	memset(text, 'x', sizeof(text) - 1);
	log_set_sink(hear, &heard);
	log_info("%s", text);
	log_set_sink(NULL, NULL);
	CU_ASSERT_EQUAL(strlen(heard.last), LOG_LINE_BYTES - 1);
}

static void a_strangers_text_stays_in_its_line(void)
{
	struct heard heard = listen_anew();

	log_set_sink(hear, &heard);
	log_info("name %s", "a\nERROR: b\x1b[2J\x7f\tc\xc3\xa9");
	log_set_sink(NULL, NULL);
	CU_ASSERT_STRING_EQUAL(heard.last, "name a?ERROR: b?[2J??c\xc3\xa9");
}

static void errno_is_kept(void)
{
	struct heard heard = listen_anew();

	log_set_sink(hear, &heard);
	errno = ENOTTY;
	log_info("line");
	CU_ASSERT_EQUAL(errno, ENOTTY);
	log_debug("not heard");
	CU_ASSERT_EQUAL(errno, ENOTTY);
	log_set_sink(NULL, NULL);
}

/* Descriptor 2 becomes a pipe into which nothing more goes. Returns where it can be read. */
static int clog_stderr(void)
{
	static const char bytes[4096];
	int fds[2];

	if (pipe2(fds, O_NONBLOCK))
		abort();
	while (write(fds[1], bytes, sizeof(bytes)) > 0)
		continue;
	/* Blocking, as standard error is. */
	if (fcntl(fds[1], F_SETFL, 0) || dup2(fds[1], STDERR_FILENO) < 0)
		abort();
	close(fds[1]);
	return fds[0];
}

static void drain(int fd)
{
	char bytes[4096];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		continue;
}

static void nobody_waits_for_a_log_that_is_not_read(void)
{
	int kept = dup(STDERR_FILENO), out = clog_stderr();
	char text[256] = "";

	log_set_sink(log_write_or_drop, NULL);
	alarm(10);
	for (unsigned i = 0; i < 100; i++)
		log_info("nobody reads this");
	drain(out);
	log_info("here again");
	alarm(0);
	log_set_sink(NULL, NULL);
	CU_ASSERT_TRUE(read(out, text, sizeof(text) - 1) > 0);
	CU_ASSERT_STRING_EQUAL(text, "100 lines lost: nobody read the log\nhere again\n");
	if (dup2(kept, STDERR_FILENO) < 0)
		abort();
	close(kept);
	close(out);
}

/* Runs say() with descriptor 2 going to a pipe; returns what came out. */
static size_t catch_stderr(void (*say)(void), char *out, size_t room)
{
	int fds[2], kept = dup(STDERR_FILENO);
	ssize_t n;

	if (kept < 0 || pipe2(fds, O_NONBLOCK) || dup2(fds[1], STDERR_FILENO) < 0)
		abort();
	say();
	if (dup2(kept, STDERR_FILENO) < 0)
		abort();
	n = read(fds[0], out, room - 1);
	close(kept);
	close(fds[0]);
	close(fds[1]);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void say_hello(void)
{
	log_info("hello");
}

static void the_default_sink_puts_the_name_first(void)
{
	char text[100];

	catch_stderr(say_hello, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "hello\n");
	log_set_name("donord");
	catch_stderr(say_hello, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "donord: hello\n");
	log_set_name(NULL);
}

#define TALKERS 8
#define LINES 50

static void *talk(void *arg UNUSED)
{
	for (int i = 0; i < LINES; i++)
		log_info("0123456789 0123456789 0123456789 0123456789");
	return NULL;
}

static void talk_together(void)
{
	pthread_t threads[TALKERS];

	for (int i = 0; i < TALKERS; i++) {
		if (pthread_create(&threads[i], NULL, talk, NULL))
			abort();
	}
	for (int i = 0; i < TALKERS; i++)
		pthread_join(threads[i], NULL);
}

static void lines_of_many_threads_do_not_tear(void)
{
	static const char line[] = "donord: 0123456789 0123456789 0123456789 0123456789\n";
	static char text[sizeof(line) * TALKERS * LINES];
	const size_t len = sizeof(line) - 1;

	log_set_name("donord");
	CU_ASSERT_EQUAL(catch_stderr(talk_together, text, sizeof(text)), len * TALKERS * LINES);
	for (size_t i = 0; i < (size_t)TALKERS * LINES; i++)
		CU_ASSERT_EQUAL(memcmp(text + i * len, line, len), 0);
	log_set_name(NULL);
}

static void levels_have_names(void)
{
	enum log_level level = LOG_INFO;

	CU_ASSERT_EQUAL(log_level_parse("debug", &level), 0);
	CU_ASSERT_EQUAL(level, LOG_DEBUG);
	CU_ASSERT_EQUAL(log_level_parse("error", &level), 0);
	CU_ASSERT_EQUAL(level, LOG_ERROR);
	CU_ASSERT_EQUAL(log_level_parse("loud", &level), -EINVAL);
	CU_ASSERT_EQUAL(log_level_parse("", &level), -EINVAL);
	CU_ASSERT_EQUAL(log_level_parse("Info", &level), -EINVAL);
	CU_ASSERT_EQUAL(level, LOG_ERROR);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_sink_hears_each_line_once),
		SUITE_TEST(lines_below_the_level_are_not_heard),
		SUITE_TEST(a_long_line_is_cut),
		SUITE_TEST(a_strangers_text_stays_in_its_line),
		SUITE_TEST(errno_is_kept),
		SUITE_TEST(nobody_waits_for_a_log_that_is_not_read),
		SUITE_TEST(the_default_sink_puts_the_name_first),
		SUITE_TEST(lines_of_many_threads_do_not_tear),
		SUITE_TEST(levels_have_names),
		SUITE_END,
	};

	return suite_run("log", tests);
}
