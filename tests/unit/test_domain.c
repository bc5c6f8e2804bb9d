#include "common/transport/domain.h"
#include "tests/suite.h"

#include <errno.h>

#define MANY 5000u

static uint8_t memory[16];

/* Exporting needs no loop: nobody connects. */
static struct tp_domain *open_domain(enum tp_kind kind, struct tp_server **server)
{
	struct tp_domain *domain;

	CU_ASSERT_EQUAL_FATAL(tp_server_open(kind, NULL, NULL, NULL, server), 0);
	CU_ASSERT_EQUAL_FATAL(tp_domain_open(*server, &domain), 0);
	return domain;
}

static int export_key(struct tp_domain *domain, uint64_t key, int memfd)
{
	const struct tp_export export = {
		.key = key, .base = memory, .bytes = sizeof(memory), .memfd = memfd};
	struct tp_remote remote;
	int err;

	err = tp_domain_export(domain, &export, &remote);
	if (!err) {
		CU_ASSERT_EQUAL(remote.key, key);
		CU_ASSERT_EQUAL(remote.bytes, sizeof(memory));
	}
	return err;
}

/* Keys counted up, keys far apart, and keys that differ in few bits. */
static uint64_t key_of(unsigned i)
{
	static const unsigned shifts[] = {0, 20, 52};

	return ((uint64_t)(i / 3) + 1) << shifts[i % 3];
}

static bool has(struct tp_domain *domain, uint64_t key)
{
	const struct export *export = domain_find(domain_of(domain), key);

	return export && export->memory.key == key;
}

static void every_exported_key_is_found_until_revoked(void)
{
	struct tp_server *server;
	struct tp_domain *domain = open_domain(TP_TCP, &server);
	unsigned i, missing = 0;

	CU_ASSERT(!has(domain, key_of(0)));
	for (i = 0; i < MANY; i++)
		missing += export_key(domain, key_of(i), -1) != 0;
	CU_ASSERT_EQUAL(missing, 0);
	for (i = 0; i < MANY; i += 2)
		tp_domain_revoke(domain, key_of(i));
	for (i = 0; i < MANY; i++)
		missing += has(domain, key_of(i)) != (i % 2 == 1);
	CU_ASSERT_EQUAL(missing, 0);
	tp_domain_close(domain);
	tp_server_close(server);
}

/* A lookup is made for each request: it must not take longer with more exports. */
static void lists_stay_short(void)
{
	struct tp_server *server;
	struct tp_domain *domain = open_domain(TP_TCP, &server);
	unsigned i, n, longest = 0;
	const struct export *export;

	for (i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(export_key(domain, key_of(i), -1), 0);
	for (i = 0; i < 1u << domain_of(domain)->bucket_bits; i++) {
		n = 0;
		LIST_FOREACH (export, &domain_of(domain)->buckets[i], bucket)
			n++;
		longest = n > longest ? n : longest;
	}
	CU_ASSERT(longest < 16);
	tp_domain_close(domain);
	tp_server_close(server);
}

static void what_cannot_be_exported_is_refused(void)
{
	struct tp_server *tcp, *shm;
	struct tp_domain *over_tcp = open_domain(TP_TCP, &tcp);
	struct tp_domain *over_shm = open_domain(TP_SHM, &shm);
	const struct tp_export nothing = {.key = 1, .base = memory, .memfd = 0};
	struct tp_remote remote;

	CU_ASSERT_EQUAL(export_key(over_tcp, 5, -1), 0);
	CU_ASSERT_EQUAL(export_key(over_tcp, 5, -1), -EEXIST);
	CU_ASSERT_EQUAL(export_key(over_shm, 5, -1), -EINVAL);
	CU_ASSERT_EQUAL(export_key(over_shm, 5, 0), 0);
	CU_ASSERT_EQUAL(tp_domain_export(over_tcp, &nothing, &remote), -EINVAL);
	tp_domain_revoke(over_tcp, 99);
	CU_ASSERT(has(over_tcp, 5));
	tp_domain_close(over_shm);
	tp_server_close(shm);
	tp_domain_close(over_tcp);
	tp_server_close(tcp);
}

static void kinds_have_names(void)
{
	enum tp_kind kind;
	unsigned i;

	for (i = 0; i < TP_KINDS; i++) {
		CU_ASSERT_EQUAL(tp_kind_parse(tp_kind_name((enum tp_kind)i), &kind), 0);
		CU_ASSERT_EQUAL(kind, (enum tp_kind)i);
	}
	CU_ASSERT_EQUAL(tp_kind_parse("udp", &kind), -EINVAL);
	CU_ASSERT_EQUAL(tp_kind_parse("", &kind), -EINVAL);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(every_exported_key_is_found_until_revoked),
		SUITE_TEST(lists_stay_short),
		SUITE_TEST(what_cannot_be_exported_is_refused),
		SUITE_TEST(kinds_have_names),
		SUITE_END,
	};

	return suite_run("domain", tests);
}
