#include "donor/lease.h"
#include "tests/suite.h"

#include <errno.h>
#include <string.h>

#define LASTS 10u /* of each lease, in a time that only this file tells */
#define FIRST_KEY 1000u
#define SHARES 3u

static struct lease_table *table;
static struct lease_holder one, other;
static struct lease_object slabs[8];

static void open_table(unsigned room)
{
	lease_holder_init(&one);
	lease_holder_init(&other);
	memset(slabs, 0, sizeof(slabs));
	CU_ASSERT_EQUAL_FATAL(lease_table_open(room, SHARES, LASTS, FIRST_KEY, &table), 0);
}

static struct lease *grant(struct lease_holder *holder, struct lease_object *what, uint64_t now)
{
	struct lease *lease = NULL;

	CU_ASSERT_EQUAL_FATAL(lease_table_grant(table, holder, what, now, &lease), 0);
	return lease;
}

static void a_granted_lease_is_its_holders_alone(void)
{
	struct lease *lease;

	open_table(2);
	lease = grant(&one, &slabs[0], 0);
	CU_ASSERT_PTR_EQUAL(lease_table_find(table, &one, lease->key), lease);
	CU_ASSERT_PTR_NULL(lease_table_find(table, &other, lease->key));
	CU_ASSERT_PTR_NULL(lease_table_find(table, &one, lease->key + 1));
	CU_ASSERT_EQUAL(one.count, 1);
	CU_ASSERT_EQUAL(other.count, 0);
	lease_table_close(table);
}

static void what_was_lent_comes_back_once(void)
{
	struct lease *lease;
	uint64_t key;

	open_table(2);
	lease = grant(&one, &slabs[3], 0);
	key = lease->key;
	CU_ASSERT_PTR_EQUAL(lease_table_end(table, lease), &slabs[3]);
	CU_ASSERT_PTR_NULL(lease_table_find(table, &one, key));
	CU_ASSERT_EQUAL(one.count, 0);
	CU_ASSERT_EQUAL(lease_table_count(table), 0);
	CU_ASSERT_PTR_NULL(lease_table_expired(table, 1000));
	lease_table_close(table);
}

static void a_full_table_grants_nothing(void)
{
	struct lease *lease, *none = NULL;

	open_table(2);
	lease = grant(&one, &slabs[0], 0);
	grant(&other, &slabs[1], 0);
	CU_ASSERT_EQUAL(lease_table_grant(table, &one, &slabs[2], 0, &none), -ENOSPC);
	CU_ASSERT_PTR_NULL(none);
	CU_ASSERT_EQUAL(lease_table_count(table), 2);
	lease_table_end(table, lease);
	grant(&one, &slabs[2], 0);
	lease_table_close(table);
}

static void a_key_is_never_used_twice(void)
{
	open_table(1);
	for (unsigned i = 0; i < 100; i++) {
		struct lease *lease = grant(&one, &slabs[0], 0);

		CU_ASSERT_EQUAL(lease->key, FIRST_KEY + i);
		lease_table_end(table, lease);
	}
	lease_table_close(table);
}

static void keys_may_pass_the_end_of_64_bits(void)
{
	struct lease *last, *first;

	memset(slabs, 0, sizeof(slabs));
	CU_ASSERT_EQUAL_FATAL(lease_table_open(4, 0, LASTS, UINT64_MAX, &table), 0);
	lease_holder_init(&one);
	last = grant(&one, &slabs[0], 0);
	first = grant(&one, &slabs[1], 0);
	CU_ASSERT_EQUAL(last->key, UINT64_MAX);
	CU_ASSERT_EQUAL(first->key, 0);
	CU_ASSERT_PTR_EQUAL(lease_table_find(table, &one, UINT64_MAX), last);
	CU_ASSERT_PTR_EQUAL(lease_table_find(table, &one, 0), first);
	lease_table_close(table);
}

static void a_lease_expires_when_its_time_is_over_not_before(void)
{
	struct lease *lease;

	open_table(2);
	lease = grant(&one, &slabs[0], 5);
	CU_ASSERT_PTR_NULL(lease_table_expired(table, 5 + LASTS - 1));
	CU_ASSERT_PTR_EQUAL(lease_table_expired(table, 5 + LASTS), lease);
	lease_table_close(table);
}

static void renewal_counts_from_the_time_it_came(void)
{
	struct lease *lease;

	open_table(2);
	lease = grant(&one, &slabs[0], 0);
	lease_table_renew(table, &one, 7);
	CU_ASSERT_PTR_NULL(lease_table_expired(table, 7 + LASTS - 1));
	CU_ASSERT_PTR_EQUAL(lease_table_expired(table, 7 + LASTS), lease);
	lease_table_close(table);
}

static void renewal_is_for_all_leases_of_one_holder_only(void)
{
	struct lease *silent, *first;

	open_table(8);
	first = grant(&one, &slabs[0], 0);
	silent = grant(&other, &slabs[1], 1);
	grant(&one, &slabs[2], 2);
	lease_table_renew(table, &one, 8);
	CU_ASSERT_PTR_EQUAL_FATAL(lease_table_expired(table, 8 + LASTS - 1), silent);
	lease_table_end(table, silent);
	CU_ASSERT_PTR_NULL(lease_table_expired(table, 8 + LASTS - 1));
	CU_ASSERT_EQUAL(first->deadline_ns, 8 + LASTS);
	lease_table_close(table);
}

static void expiry_comes_in_order_of_deadline(void)
{
	struct lease *lease;

	open_table(8);
	for (unsigned i = 0; i < 4; i++)
		grant(i % 2 ? &other : &one, &slabs[i], i);
	lease_table_renew(table, &one, 4);
	/* other: 1 and 3; one: 0 and 2, both from 4 on. */
	lease = lease_table_expired(table, 100);
	CU_ASSERT_PTR_EQUAL(lease_table_end(table, lease), &slabs[1]);
	lease = lease_table_expired(table, 100);
	CU_ASSERT_PTR_EQUAL(lease_table_end(table, lease), &slabs[3]);
	lease = lease_table_expired(table, 100);
	CU_ASSERT_EQUAL(lease->deadline_ns, 4 + LASTS);
	lease_table_end(table, lease);
	lease_table_end(table, lease_table_expired(table, 100));
	CU_ASSERT_PTR_NULL(lease_table_expired(table, 100));
	lease_table_close(table);
}

static void a_holder_that_goes_leaves_nothing(void)
{
	struct lease *lease;

	open_table(8);
	grant(&other, &slabs[7], 0);
	for (unsigned i = 0; i < 4; i++)
		grant(&one, &slabs[i], 0);
	while ((lease = LIST_FIRST(&one.leases)))
		lease_table_end(table, lease);
	CU_ASSERT_EQUAL(one.count, 0);
	CU_ASSERT_EQUAL(lease_table_count(table), 1);
	CU_ASSERT_PTR_EQUAL(lease_table_expired(table, LASTS)->holder, &other);
	lease_table_close(table);
}

/* ---- shared ---- */

static struct lease *share(struct lease *from, struct lease_holder *holder, uint64_t now)
{
	struct lease *lease = NULL;

	CU_ASSERT_EQUAL_FATAL(lease_table_share(table, from, holder, now, &lease), 0);
	return lease;
}

static void what_is_shared_comes_back_with_the_last_lease(void)
{
	struct lease *parent, *child;

	open_table(2);
	parent = grant(&one, &slabs[0], 0);
	child = share(parent, &other, 5);
	CU_ASSERT_NOT_EQUAL(child->key, parent->key);
	CU_ASSERT_PTR_EQUAL(child->object, &slabs[0]);
	CU_ASSERT_PTR_NULL(lease_table_find(table, &one, child->key));
	CU_ASSERT_EQUAL(slabs[0].count, 2);
	CU_ASSERT_PTR_EQUAL(lease_table_expired(table, 100), parent);
	CU_ASSERT_PTR_NULL(lease_table_end(table, parent));
	CU_ASSERT_PTR_NULL(lease_table_expired(table, 5 + LASTS - 1));
	CU_ASSERT_PTR_EQUAL(lease_table_end(table, child), &slabs[0]);
	CU_ASSERT_EQUAL(lease_table_count(table), 0);
	lease_table_close(table);
}

static void who_is_alone_again_is_told_once(void)
{
	struct lease *parent, *child, *grandchild;

	open_table(2);
	parent = grant(&one, &slabs[0], 0);
	CU_ASSERT_PTR_NULL(lease_table_take_news(&one));
	child = share(parent, &other, 0);
	grandchild = share(child, &other, 0);
	lease_table_end(table, child);
	CU_ASSERT_PTR_NULL(lease_table_take_news(&one));
	lease_table_end(table, grandchild);
	CU_ASSERT_PTR_EQUAL(lease_table_take_news(&one), parent);
	CU_ASSERT_EQUAL(parent->shares, 1);
	CU_ASSERT_PTR_NULL(lease_table_take_news(&one));
	lease_table_close(table);
}

static void the_one_that_is_left_may_be_any(void)
{
	struct lease *parent, *child;

	open_table(2);
	parent = grant(&one, &slabs[0], 0);
	child = share(parent, &other, 0);
	lease_table_end(table, parent);
	CU_ASSERT_PTR_NULL(lease_table_take_news(&one));
	CU_ASSERT_PTR_EQUAL(lease_table_take_news(&other), child);
	CU_ASSERT_EQUAL(child->shares, 0);
	lease_table_close(table);
}

/* Who has shared again may not be told that it is alone. */
static void news_that_is_not_true_any_more_is_not_told(void)
{
	struct lease *parent;

	open_table(2);
	parent = grant(&one, &slabs[0], 0);
	lease_table_end(table, share(parent, &other, 0));
	share(parent, &other, 0);
	CU_ASSERT_PTR_NULL(lease_table_take_news(&one));
	CU_ASSERT_EQUAL(parent->shares, 2);
	lease_table_close(table);
}

static void news_ends_with_its_lease(void)
{
	struct lease *parent;

	open_table(2);
	parent = grant(&one, &slabs[0], 0);
	lease_table_end(table, share(parent, &other, 0));
	CU_ASSERT_PTR_EQUAL(lease_table_end(table, parent), &slabs[0]);
	CU_ASSERT_PTR_NULL(lease_table_take_news(&one));
	lease_table_close(table);
}

static void shares_take_no_place_of_what_can_be_lent(void)
{
	struct lease *parent, *none = NULL;

	open_table(2);
	parent = grant(&one, &slabs[0], 0);
	for (unsigned i = 0; i < SHARES; i++)
		share(parent, &other, 0);
	CU_ASSERT_EQUAL(lease_table_share(table, parent, &other, 0, &none), -ENOSPC);
	CU_ASSERT_PTR_NULL(none);
	CU_ASSERT_EQUAL(parent->shares, SHARES);
	grant(&one, &slabs[1], 0);
	CU_ASSERT_EQUAL(lease_table_grant(table, &one, &slabs[2], 0, &none), -ENOSPC);
	lease_table_end(table, parent);
	share(LIST_FIRST(&other.leases), &one, 0);
	CU_ASSERT_EQUAL(lease_table_count(table), 2 + SHARES);
	lease_table_close(table);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_granted_lease_is_its_holders_alone),
		SUITE_TEST(what_was_lent_comes_back_once),
		SUITE_TEST(a_full_table_grants_nothing),
		SUITE_TEST(a_key_is_never_used_twice),
		SUITE_TEST(keys_may_pass_the_end_of_64_bits),
		SUITE_TEST(a_lease_expires_when_its_time_is_over_not_before),
		SUITE_TEST(renewal_counts_from_the_time_it_came),
		SUITE_TEST(renewal_is_for_all_leases_of_one_holder_only),
		SUITE_TEST(expiry_comes_in_order_of_deadline),
		SUITE_TEST(a_holder_that_goes_leaves_nothing),
		SUITE_TEST(what_is_shared_comes_back_with_the_last_lease),
		SUITE_TEST(who_is_alone_again_is_told_once),
		SUITE_TEST(the_one_that_is_left_may_be_any),
		SUITE_TEST(news_that_is_not_true_any_more_is_not_told),
		SUITE_TEST(news_ends_with_its_lease),
		SUITE_TEST(shares_take_no_place_of_what_can_be_lent),
		SUITE_END,
	};

	return suite_run("lease table", tests);
}
