#include "donor/arena.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "donor/quiet.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

STAILQ_HEAD(slab_list, slab);

struct arena {
	struct slab_kind kind;
	unsigned slabs;
	int event; /* eventfd */
	pthread_t worker;
	struct quiet complaints; /* owner: worker; each question of a client has it try again */

	pthread_mutex_t lock;
	pthread_cond_t work; /* something below changed that the worker may act on */
	/* All below: guarded by lock. */
	struct slab_list ready, dropped;
	unsigned ready_count, dropped_count, lent_count;
	unsigned waited_for, spare;
	bool is_short; /* the host had no memory at the last try */
	bool stopping;
};

/* ---- the worker ---- */

static unsigned wanted(const struct arena *arena)
{
	unsigned room = arena->slabs - arena->lent_count - arena->dropped_count;
	unsigned want = arena->waited_for + arena->spare;

	return want < room ? want : room;
}

static bool has_too_few(const struct arena *arena)
{
	return !arena->is_short && arena->ready_count < wanted(arena);
}

static bool has_too_many(const struct arena *arena)
{
	return arena->ready_count > wanted(arena);
}

static struct slab *pop(struct slab_list *list)
{
	struct slab *slab = STAILQ_FIRST(list);

	STAILQ_REMOVE_HEAD(list, link);
	return slab;
}

static void tell_loop(struct arena *arena)
{
	/* Fails only when the counter is full: then the loop has been told already. */
	if (eventfd_write(arena->event, 1))
		return;
}

/* Called and returns with the lock held, as the two below; dropped ones count until destroyed. */
static void destroy_dropped(struct arena *arena)
{
	struct slab *slab = pop(&arena->dropped);

	pthread_mutex_unlock(&arena->lock);
	slab_destroy(slab);
	pthread_mutex_lock(&arena->lock);
	arena->dropped_count--;
	arena->is_short = false;
	tell_loop(arena);
}

static void destroy_surplus(struct arena *arena)
{
	struct slab *slab = pop(&arena->ready);

	arena->ready_count--;
	pthread_mutex_unlock(&arena->lock);
	slab_destroy(slab);
	pthread_mutex_lock(&arena->lock);
}

static void make_one(struct arena *arena)
{
	struct slab *slab;
	int err;

	pthread_mutex_unlock(&arena->lock);
	err = slab_make(&arena->kind, &slab);
	pthread_mutex_lock(&arena->lock);
	if (err) {
		if (err != -ENOMEM)
			quiet_line(&arena->complaints, clock_ns(), LOG_ERROR,
				   "cannot make a slab: %s", strerror(-err));
		arena->is_short = true;
	} else {
		STAILQ_INSERT_TAIL(&arena->ready, slab, link);
		arena->ready_count++;
	}
	tell_loop(arena);
}

/* What is dropped goes first: its memory may be what the next slab is made of. */
static void *work(void *arg)
{
	struct arena *arena = arg;

	pthread_mutex_lock(&arena->lock);
	while (!arena->stopping) {
		if (!STAILQ_EMPTY(&arena->dropped))
			destroy_dropped(arena);
		else if (has_too_many(arena))
			destroy_surplus(arena);
		else if (has_too_few(arena))
			make_one(arena);
		else
			pthread_cond_wait(&arena->work, &arena->lock);
	}
	pthread_mutex_unlock(&arena->lock);
	return NULL;
}

/* ---- the loop's side ---- */

static struct arena *arena_alloc(const struct slab_kind *kind, unsigned slabs)
{
	struct arena *arena = FAULT_POINT() ? NULL : calloc(1, sizeof(*arena));

	if (!arena)
		return NULL;
	arena->kind = *kind;
	arena->slabs = slabs;
	quiet_init(&arena->complaints, "slabs");
	STAILQ_INIT(&arena->ready);
	STAILQ_INIT(&arena->dropped);
	pthread_mutex_init(&arena->lock, NULL);
	pthread_cond_init(&arena->work, NULL);
	return arena;
}

static void arena_free(struct arena *arena)
{
	pthread_cond_destroy(&arena->work);
	pthread_mutex_destroy(&arena->lock);
	free(arena);
}

int arena_open(const struct slab_kind *kind, unsigned slabs, struct arena **out)
{
	struct arena *arena = arena_alloc(kind, slabs);
	int err;

	if (!arena)
		return -ENOMEM;
	arena->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (arena->event < 0) {
		err = -errno;
		goto err_free;
	}
	err = FAULT_POINT() ? -EAGAIN : -pthread_create(&arena->worker, NULL, work, arena);
	if (err)
		goto err_close;
	*out = arena;
	return 0;

err_close:
	close(arena->event);
err_free:
	arena_free(arena);
	return err;
}

static void destroy_all(struct slab_list *list)
{
	while (!STAILQ_EMPTY(list))
		slab_destroy(pop(list));
}

void arena_close(struct arena *arena)
{
	if (!arena)
		return;
	pthread_mutex_lock(&arena->lock);
	arena->stopping = true;
	pthread_cond_signal(&arena->work);
	pthread_mutex_unlock(&arena->lock);
	pthread_join(arena->worker, NULL);
	destroy_all(&arena->ready);
	destroy_all(&arena->dropped);
	close(arena->event);
	arena_free(arena);
}

int arena_fd(const struct arena *arena)
{
	return arena->event;
}

void arena_fd_clear(struct arena *arena)
{
	eventfd_t told;

	/* Fails only when there is nothing to clear. */
	if (eventfd_read(arena->event, &told))
		return;
}

/* Why there is none ready. With the lock held. */
static int why_none(const struct arena *arena)
{
	if (arena->lent_count == arena->slabs)
		return -ENOSPC;
	return arena->is_short ? -ENOMEM : -EAGAIN;
}

static int take_ready(struct arena *arena, struct slab **out)
{
	if (STAILQ_EMPTY(&arena->ready))
		return why_none(arena);
	*out = pop(&arena->ready);
	arena->ready_count--;
	arena->lent_count++;
	pthread_cond_signal(&arena->work);
	return 0;
}

int arena_take(struct arena *arena, struct slab **out)
{
	int err;

	pthread_mutex_lock(&arena->lock);
	err = take_ready(arena, out);
	pthread_mutex_unlock(&arena->lock);
	return err;
}

void arena_give(struct arena *arena, struct slab *slab)
{
	pthread_mutex_lock(&arena->lock);
	STAILQ_INSERT_TAIL(&arena->dropped, slab, link);
	arena->dropped_count++;
	arena->lent_count--;
	pthread_cond_signal(&arena->work);
	pthread_mutex_unlock(&arena->lock);
}

void arena_want(struct arena *arena, unsigned waited_for, unsigned spare)
{
	pthread_mutex_lock(&arena->lock);
	if (waited_for > arena->waited_for || spare > arena->spare)
		arena->is_short = false;
	arena->waited_for = waited_for;
	arena->spare = spare;
	pthread_cond_signal(&arena->work);
	pthread_mutex_unlock(&arena->lock);
}

unsigned arena_slabs(const struct arena *arena)
{
	return arena->slabs;
}

unsigned arena_slabs_free(struct arena *arena)
{
	unsigned n;

	pthread_mutex_lock(&arena->lock);
	n = arena->slabs - arena->lent_count - arena->dropped_count;
	pthread_mutex_unlock(&arena->lock);
	return n;
}
