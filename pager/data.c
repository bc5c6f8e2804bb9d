#include "pager/data.h"

#include "pager/own.h"

#include <assert.h>
#include <errno.h>

/* Completions fetched at once. They lie on the stack of the fault thread. */
#define BATCH 64u

#define NO_IO DATA_DEPTH

enum gate { SHUT, OPEN, CLOSING };

struct data_io {
	uint64_t cookie; /* the caller's */
	uint32_t bytes;
	uint32_t next; /* in the free list */
	bool in_flight;
};

/* ---- counts with one writer ---- */

static uint32_t in_flight(const struct data *data)
{
	return atomic_load_explicit(&data->in_flight, memory_order_acquire);
}

static void set_in_flight(struct data *data, uint32_t n)
{
	atomic_store_explicit(&data->in_flight, n, memory_order_release);
}

static void count_bytes(struct data *data, uint32_t bytes)
{
	uint64_t before = atomic_load_explicit(&data->bytes, memory_order_relaxed);

	atomic_store_explicit(&data->bytes, before + bytes, memory_order_relaxed);
}

/* ---- control thread ---- */

int data_init(struct data *data, struct verdict *verdict)
{
	uint32_t i;

	data->ios = own_alloc(DATA_DEPTH * sizeof(*data->ios));
	if (!data->ios)
		return -ENOMEM;
	for (i = 0; i < DATA_DEPTH; i++)
		data->ios[i].next = i + 1;
	data->free_io = 0;
	data->verdict = verdict;
	return 0;
}

void data_destroy(struct data *data)
{
	if (data->conn)
		tp_disconnect(data->conn);
	own_free(data->ios, DATA_DEPTH * sizeof(*data->ios));
}

void data_open(struct data *data, struct tp_conn *conn)
{
	assert(!data->conn && data_is_idle(data));
	data->conn = conn;
	atomic_store(&data->gate, OPEN);
}

bool data_shut(struct data *data)
{
	if (atomic_load(&data->gate) == SHUT)
		return true;
	/* sequentially consistent, like data_enter(): one of the two sees the other */
	atomic_store(&data->gate, CLOSING);
	if (atomic_load(&data->is_inside))
		return false;
	tp_disconnect(data->conn);
	data->conn = NULL;
	atomic_store(&data->gate, SHUT);
	return true;
}

bool data_is_idle(const struct data *data)
{
	return in_flight(data) == 0;
}

/* ---- the lane ---- */

bool data_enter(struct data *data)
{
	atomic_store(&data->is_inside, true);
	if (LIKELY(atomic_load(&data->gate) == OPEN))
		return true;
	data_leave(data);
	return false;
}

void data_leave(struct data *data)
{
	atomic_store_explicit(&data->is_inside, false, memory_order_release);
}

static uint32_t io_take(struct data *data, const struct tp_request *request)
{
	uint32_t index = data->free_io;
	struct data_io *io = &data->ios[index];

	data->free_io = io->next;
	io->cookie = request->cookie;
	io->bytes = request->bytes;
	io->in_flight = true;
	return index;
}

static void io_put(struct data *data, uint32_t index)
{
	data->ios[index].in_flight = false;
	data->ios[index].next = data->free_io;
	data->free_io = index;
}

int data_post(struct data *data, struct tp_request *requests, unsigned n)
{
	unsigned admitted = 0;
	int got;

	while (admitted < n && data->free_io != NO_IO) {
		requests[admitted].cookie = io_take(data, &requests[admitted]);
		admitted++;
	}
	got = admitted ? tp_post(data->conn, requests, admitted) : 0;
	while (admitted > (got > 0 ? (unsigned)got : 0)) {
		uint32_t index = (uint32_t)requests[--admitted].cookie;

		requests[admitted].cookie = data->ios[index].cookie;
		io_put(data, index);
	}
	if (got < 0)
		verdict_pass(data->verdict, got);
	else
		set_in_flight(data, in_flight(data) + (uint32_t)got);
	return got;
}

/* The io's end, as the lane's owner is told. */
static struct store_done finish(struct data *data, uint32_t index, int status)
{
	struct data_io *io = &data->ios[index];
	struct store_done done = {.cookie = io->cookie, .status = status};

	if (!status)
		count_bytes(data, io->bytes);
	io_put(data, index);
	set_in_flight(data, in_flight(data) - 1);
	return done;
}

/*
 * What became of a request: a donor that is given up is not believed, and those that were merely
 * cancelled tell the cause.
 */
static int judge(struct data *data, int status)
{
	int err = tp_error(data->conn);

	if (status)
		verdict_pass(data->verdict, err ? err : status);
	return verdict_of(data->verdict);
}

static unsigned poll_inside(struct data *data, struct store_done *out, unsigned max)
{
	struct tp_completion done[BATCH];
	int i, n = tp_poll(data->conn, done, max < BATCH ? max : BATCH);

	for (i = 0; i < n; i++)
		out[i] = finish(data, (uint32_t)done[i].cookie, judge(data, done[i].status));
	return n > 0 ? (unsigned)n : 0;
}

/* After the connection was shut: everything that was in flight fails. */
static unsigned drain(struct data *data, struct store_done *out, unsigned max)
{
	unsigned n = 0;
	uint32_t i;

	for (i = 0; i < DATA_DEPTH && n < max; i++) {
		if (data->ios[i].in_flight)
			out[n++] = finish(data, i, verdict_of(data->verdict));
	}
	return n;
}

unsigned data_poll(struct data *data, struct store_done *out, unsigned max)
{
	unsigned n;

	if (data_is_idle(data))
		return 0;
	if (UNLIKELY(!data_enter(data)))
		return atomic_load(&data->gate) == SHUT ? drain(data, out, max) : 0;
	n = poll_inside(data, out, max);
	data_leave(data);
	return n;
}

int data_arm(struct data *data, int *fd, short *events)
{
	int err;

	if (data_is_idle(data))
		return -ENOENT;
	if (!data_enter(data))
		return atomic_load(&data->gate) == SHUT ? -EAGAIN : -ENOENT;
	err = tp_arm(data->conn, fd, events);
	data_leave(data);
	return err ? -EAGAIN : 0;
}
