#include "donor/lease.h"

#include "common/base/fault_point.h"

#include <errno.h>
#include <stdlib.h>

LIST_HEAD(lease_bucket, lease);

struct lease_table {
	TAILQ_HEAD(lease_queue, lease) by_deadline; /* soonest first */
	LIST_HEAD(, lease) unused;		    /* linked by of_holder */
	struct lease_bucket *buckets;		    /* by key */
	uint64_t bucket_mask;
	uint64_t duration_ns;
	uint64_t next_key;
	unsigned count;
	unsigned lent;			/* objects that have leases */
	unsigned objects, shares, used; /* of `leases`; what is behind `used` was never touched */
	struct lease leases[];
};

/* Keys are consecutive numbers: their low bits alone spread them evenly. */
static struct lease_bucket *bucket_of(const struct lease_table *table, uint64_t key)
{
	return &table->buckets[key & table->bucket_mask];
}

static uint64_t round_up_to_power_of_two(uint64_t n)
{
	return n <= 1 ? 1 : 1ull << (64 - __builtin_clzll(n - 1));
}

static struct lease_table *table_alloc(size_t room)
{
	uint64_t buckets = round_up_to_power_of_two(room);
	struct lease_table *table;

	if (FAULT_POINT())
		return NULL;
	table = calloc(1, sizeof(*table) + room * sizeof(table->leases[0]));
	if (!table)
		return NULL;
	table->buckets = calloc(buckets, sizeof(table->buckets[0]));
	if (!table->buckets) {
		free(table);
		return NULL;
	}
	table->bucket_mask = buckets - 1;
	return table;
}

int lease_table_open(unsigned objects, unsigned shares, uint64_t duration_ns, uint64_t first_key,
		     struct lease_table **out)
{
	struct lease_table *table = table_alloc((size_t)objects + shares);

	if (!table)
		return -ENOMEM;
	TAILQ_INIT(&table->by_deadline);
	table->objects = objects;
	table->shares = shares;
	table->duration_ns = duration_ns;
	table->next_key = first_key;
	*out = table;
	return 0;
}

void lease_table_close(struct lease_table *table)
{
	if (!table)
		return;
	free(table->buckets);
	free(table);
}

void lease_holder_init(struct lease_holder *holder)
{
	LIST_INIT(&holder->leases);
	holder->count = 0;
	LIST_INIT(&holder->news);
}

static struct lease *take_unused(struct lease_table *table)
{
	struct lease *lease = LIST_FIRST(&table->unused);

	if (lease)
		LIST_REMOVE(lease, of_holder);
	else
		lease = &table->leases[table->used++];
	return lease;
}

/* There is room for it. */
static struct lease *make(struct lease_table *table, struct lease_holder *holder,
			  struct lease_object *object, uint64_t now_ns)
{
	struct lease *lease = take_unused(table);

	lease->key = table->next_key++;
	lease->holder = holder;
	lease->object = object;
	lease->deadline_ns = now_ns + table->duration_ns;
	lease->shares = 0;
	lease->is_news = false;
	TAILQ_INSERT_TAIL(&table->by_deadline, lease, by_deadline);
	LIST_INSERT_HEAD(bucket_of(table, lease->key), lease, of_bucket);
	LIST_INSERT_HEAD(&holder->leases, lease, of_holder);
	LIST_INSERT_HEAD(&object->leases, lease, of_object);
	holder->count++;
	table->lent += object->count++ == 0;
	table->count++;
	return lease;
}

int lease_table_grant(struct lease_table *table, struct lease_holder *holder,
		      struct lease_object *object, uint64_t now_ns, struct lease **out)
{
	if (table->lent == table->objects)
		return -ENOSPC;
	*out = make(table, holder, object, now_ns);
	return 0;
}

static void set_news(struct lease *lease, bool is_news)
{
	if (lease->is_news)
		LIST_REMOVE(lease, of_news);
	if (is_news)
		LIST_INSERT_HEAD(&lease->holder->news, lease, of_news);
	lease->is_news = is_news;
}

int lease_table_share(struct lease_table *table, struct lease *from, struct lease_holder *holder,
		      uint64_t now_ns, struct lease **out)
{
	if (table->count - table->lent == table->shares)
		return -ENOSPC;
	*out = make(table, holder, from->object, now_ns);
	from->shares++;
	set_news(from, false); /* alone a moment ago, and not any more */
	return 0;
}

struct lease *lease_table_take_news(struct lease_holder *holder)
{
	struct lease *lease = LIST_FIRST(&holder->news);

	if (lease)
		set_news(lease, false);
	return lease;
}

void lease_table_renew(struct lease_table *table, struct lease_holder *holder, uint64_t now_ns)
{
	struct lease *lease;

	LIST_FOREACH (lease, &holder->leases, of_holder) {
		lease->deadline_ns = now_ns + table->duration_ns;
		TAILQ_REMOVE(&table->by_deadline, lease, by_deadline);
		TAILQ_INSERT_TAIL(&table->by_deadline, lease, by_deadline);
	}
}

struct lease *lease_table_find(const struct lease_table *table, const struct lease_holder *holder,
			       uint64_t key)
{
	struct lease *lease;

	LIST_FOREACH (lease, bucket_of(table, key), of_bucket) {
		if (lease->key == key)
			return lease->holder == holder ? lease : NULL;
	}
	return NULL;
}

struct lease *lease_table_expired(const struct lease_table *table, uint64_t now_ns)
{
	struct lease *first = TAILQ_FIRST(&table->by_deadline);

	return first && first->deadline_ns <= now_ns ? first : NULL;
}

struct lease_object *lease_table_end(struct lease_table *table, struct lease *lease)
{
	struct lease_object *object = lease->object;

	set_news(lease, false);
	TAILQ_REMOVE(&table->by_deadline, lease, by_deadline);
	LIST_REMOVE(lease, of_bucket);
	LIST_REMOVE(lease, of_holder);
	LIST_REMOVE(lease, of_object);
	lease->holder->count--;
	lease->holder = NULL;
	lease->object = NULL;
	table->lent -= --object->count == 0;
	table->count--;
	LIST_INSERT_HEAD(&table->unused, lease, of_holder);
	if (object->count == 1)
		set_news(LIST_FIRST(&object->leases), true);
	return object->count ? NULL : object;
}

unsigned lease_table_count(const struct lease_table *table)
{
	return table->count;
}
