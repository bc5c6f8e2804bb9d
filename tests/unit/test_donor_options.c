#include "donor/host.h"
#include "donor/options.h"
#include "tests/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_WORDS 32

static struct donor_options options;
static char why[DONOR_WHY_BYTES];

/* Parses "donord" and the words of `line`. */
static int parse(const char *line)
{
	static char words[512];
	char *argv[MAX_WORDS + 2] = {(char *)"donord"};
	int argc = 1;

	memset(&options, 0xee, sizeof(options));
	snprintf(words, sizeof(words), "%s", line);
	for (char *word = strtok(words, " "); word && argc <= MAX_WORDS; word = strtok(NULL, " "))
		argv[argc++] = word;
	return donor_options_parse(argc, argv, &options, why);
}

static void accept_line(const char *line)
{
	CU_ASSERT_EQUAL_FATAL(parse(line), 0);
}

/* `part` is what the complaint has to name. */
static void refuse_line(const char *line, const char *part)
{
	CU_ASSERT_EQUAL(parse(line), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, part));
	CU_ASSERT_PTR_NULL(strchr(why, '\n'));
}

static void size_alone_is_enough(void)
{
	accept_line("--size 4G");
	CU_ASSERT_EQUAL(options.slabs, 128);
	CU_ASSERT_EQUAL(options.slab_bytes, 32u << 20);
	CU_ASSERT_EQUAL(options.listen_count, 1);
	CU_ASSERT_STRING_EQUAL(options.listen[0].host, "127.0.0.1");
	CU_ASSERT_EQUAL(options.listen[0].port, 7471);
	CU_ASSERT_EQUAL(options.local, DONOR_LOCAL_AUTO);
	CU_ASSERT_EQUAL(options.lease_ms, 10000);
	CU_ASSERT_EQUAL(options.renew_ms, 5000);
	CU_ASSERT_EQUAL(options.max_sessions, 1024);
	CU_ASSERT_EQUAL(options.numa_node, HOST_NO_NODE);
	CU_ASSERT_FALSE(options.huge_pages);
	CU_ASSERT_EQUAL(options.rdma, DONOR_RDMA_AUTO);
}

static void every_option_arrives(void)
{
	accept_line("--size=256M --listen [::1]:0 --listen :99 --local-socket s.sock "
		    "--slab-size 2M --huge-pages --rdma required --numa-node 3 --lease 4s --renew "
		    "900ms");
	CU_ASSERT_EQUAL(options.slabs, 128);
	CU_ASSERT_EQUAL(options.listen_count, 2);
	CU_ASSERT_STRING_EQUAL(options.listen[0].host, "::1");
	CU_ASSERT_EQUAL(options.listen[0].port, 0);
	CU_ASSERT_STRING_EQUAL(options.listen[1].host, "");
	CU_ASSERT_EQUAL(options.listen[1].port, 99);
	CU_ASSERT_EQUAL(options.local, DONOR_LOCAL_PATH);
	CU_ASSERT_STRING_EQUAL(options.local_path, "s.sock");
	CU_ASSERT_TRUE(options.huge_pages);
	CU_ASSERT_EQUAL(options.rdma, DONOR_RDMA_REQUIRED);
	CU_ASSERT_EQUAL(options.numa_node, 3);
	CU_ASSERT_EQUAL(options.lease_ms, 4000);
	CU_ASSERT_EQUAL(options.renew_ms, 900);
	accept_line("--size 1G --max-sessions 7 --log debug --listen none");
	CU_ASSERT_EQUAL(options.max_sessions, 7);
	CU_ASSERT_EQUAL(options.log_level, LOG_DEBUG);
	CU_ASSERT_EQUAL(options.listen_count, 0);
}

static void the_heartbeat_follows_the_lease(void)
{
	accept_line("--size 1G --lease 3s");
	CU_ASSERT_EQUAL(options.renew_ms, 1500);
}

static void a_part_of_a_slab_is_not_lent(void)
{
	accept_line("--size 100M");
	CU_ASSERT_EQUAL(options.slabs, 3);
}

static void a_refused_line_writes_nothing(void)
{
	struct donor_options before;

	memset(&before, 0xee, sizeof(before));
	CU_ASSERT_EQUAL(parse("--size 4G --lease never"), -EINVAL);
	CU_ASSERT_EQUAL(memcmp(&options, &before, sizeof(before)), 0);
}

static void what_is_wrong_is_named(void)
{
	refuse_line("", "--size is missing");
	refuse_line("--size", "--size needs a value");
	refuse_line("--size 12Q", "--size 12Q");
	refuse_line("--size 0", "--size");
	refuse_line("--size 31M", "less than one slab of 32 MiB");
	refuse_line("--size 4G --slab-size 33M", "--slab-size 33M");
	refuse_line("--size 4G --slab-size 512K", "--slab-size 512K");
	refuse_line("--size 4G --slab-size 1M --huge-pages", "huge page of 2 MiB");
	refuse_line("--size 4G --listen 1.2.3.4:x", "--listen 1.2.3.4:x");
	refuse_line("--size 4G --listen none --local-socket none", "nobody");
	refuse_line("--size 4G --rdma yes", "auto, off, required");
	refuse_line("--size 4G --rdma required --listen none", "exclude each other");
	refuse_line("--size 4G --numa-node -1", "--numa-node -1");
	refuse_line("--size 4G --lease 10s --renew 10s", "--renew must be shorter");
	refuse_line("--size 4G --lease 2d", "--lease 2d");
	refuse_line("--size 4G --max-sessions 65537", "--max-sessions 65537");
	refuse_line("--size 4G --log quiet", "--log quiet");
	refuse_line("--size 4G --bogus", "--bogus");
	refuse_line("--size 4G extra", "extra");
}

static void the_first_of_many_mistakes_is_told(void)
{
	refuse_line("--size what --lease never", "--size what");
}

static void too_many_addresses_are_refused(void)
{
	char line[512] = "--size=4G";

	for (unsigned i = 0; i < DONOR_MAX_LISTEN; i++)
		strcat(line, " --listen=:9");
	accept_line(line);
	strcat(line, " --listen=:9");
	refuse_line(line, "one too many");
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(size_alone_is_enough),
		SUITE_TEST(every_option_arrives),
		SUITE_TEST(the_heartbeat_follows_the_lease),
		SUITE_TEST(a_part_of_a_slab_is_not_lent),
		SUITE_TEST(a_refused_line_writes_nothing),
		SUITE_TEST(what_is_wrong_is_named),
		SUITE_TEST(the_first_of_many_mistakes_is_told),
		SUITE_TEST(too_many_addresses_are_refused),
		SUITE_END,
	};

	return suite_run("donor options", tests);
}
