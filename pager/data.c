#include "pager/data.h"

#include "pager/own.h"
#include "pager/pins.h"

#include <assert.h>
#include <errno.h>

/* Completions fetched at once. They lie on the stack of the fault thread. */
#define BATCH 64u

#define NO_IO DATA_DEPTH

enum gate { SHUT, OPEN, CLOSING };

struct data_io {
	struct tp_request request; /* with the caller's cookie */
	uint32_t generation;	   /* of the connection it was posted on */
	uint32_t next;		   /* in the free list */
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

/* ---- care thread ---- */

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

static void disconnect(struct data *data)
{
	pins_begin();
	tp_disconnect(data->conn);
	pins_end();
	data->conn = NULL;
}

void data_destroy(struct data *data)
{
	if (data->conn)
		disconnect(data);
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
	disconnect(data);
	atomic_store(&data->gate, SHUT);
	return true;
}

void data_allow_switch(struct data *data, bool allow)
{
	atomic_store(&data->may_switch, allow);
}

int data_trouble(const struct data *data)
{
	return atomic_load(&data->trouble);
}

void data_switch_begin(struct data *data)
{
	atomic_store(&data->is_switching, true);
}

void data_reopen(struct data *data, struct tp_conn *conn, data_translate_fn *translate, void *arg)
{
	uint32_t i;

	assert(!data->conn);
	/* the lane stays away from its ios while it waits for us */
	for (i = 0; i < DATA_DEPTH; i++) {
		struct tp_request *request = &data->ios[i].request;

		if (data->ios[i].in_flight)
			request->handle = translate(arg, request->handle);
	}
	data->conn = conn;
	data->generation++;
	atomic_store(&data->trouble, 0);
	atomic_store(&data->gate, OPEN);
	atomic_store(&data->is_switching, false);
}

void data_switch_give_up(struct data *data)
{
	atomic_store(&data->trouble, 0);
	atomic_store(&data->is_switching, false);
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

bool data_is_switching(const struct data *data)
{
	return atomic_load(&data->is_switching);
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
	io->request = *request;
	io->generation = data->generation;
	io->in_flight = true;
	return index;
}

static void io_put(struct data *data, uint32_t index)
{
	data->ios[index].in_flight = false;
	data->ios[index].next = data->free_io;
	data->free_io = index;
}

/* The connection has ended: a verdict, unless another one can take its place. True if so. */
static bool is_mere_trouble(struct data *data, int err)
{
	if (!atomic_load(&data->may_switch) || verdict_of(data->verdict))
		return false;
	if (!atomic_exchange(&data->trouble, err))
		verdict_wake(data->verdict);
	return true;
}

int data_post(struct data *data, struct tp_request *requests, unsigned n)
{
	unsigned admitted = 0;
	int got;

	if (UNLIKELY(atomic_load_explicit(&data->trouble, memory_order_relaxed)))
		return 0;

	while (admitted < n && data->free_io != NO_IO) {
		requests[admitted].cookie = io_take(data, &requests[admitted]);
		admitted++;
	}
	got = admitted ? tp_post(data->conn, requests, admitted) : 0;
	while (admitted > (got > 0 ? (unsigned)got : 0)) {
		uint32_t index = (uint32_t)requests[--admitted].cookie;

		requests[admitted].cookie = data->ios[index].request.cookie;
		io_put(data, index);
	}
	if (got >= 0)
		set_in_flight(data, in_flight(data) + (uint32_t)got);
	else if (is_mere_trouble(data, got))
		got = 0;
	else
		verdict_pass(data->verdict, got);
	return got;
}

/* What was in flight on the connection before this one. */
static void post_again(struct data *data)
{
	uint32_t i;

	for (i = 0; i < DATA_DEPTH; i++) {
		struct data_io *io = &data->ios[i];
		struct tp_request request = io->request;

		if (!io->in_flight || io->generation == data->generation)
			continue;
		request.cookie = i;
		if (tp_post(data->conn, &request, 1) != 1)
			return; /* full, or over again: the next poll goes on */
		io->generation = data->generation;
	}
	data->posted_generation = data->generation;
}

/* The io's end, as the lane's owner is told. */
static struct store_done finish(struct data *data, uint32_t index, int status)
{
	struct data_io *io = &data->ios[index];
	struct store_done done = {.cookie = io->request.cookie, .status = status};

	if (!status)
		count_bytes(data, io->request.bytes);
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

/* Failed with its connection, and to be posted on the next one. */
static bool comes_again(struct data *data, int status)
{
	int err = tp_error(data->conn);

	return status && is_mere_trouble(data, err ? err : status);
}

static unsigned poll_inside(struct data *data, struct store_done *out, unsigned max)
{
	struct tp_completion done[BATCH];
	unsigned told = 0;
	int i, n;

	if (UNLIKELY(data->posted_generation != data->generation))
		post_again(data);
	n = tp_poll(data->conn, done, max < BATCH ? max : BATCH);
	for (i = 0; i < n; i++) {
		uint32_t index = (uint32_t)done[i].cookie;

		if (!comes_again(data, done[i].status))
			out[told++] = finish(data, index, judge(data, done[i].status));
	}
	return told;
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

/* Shut, and for good: what was in flight is to be drained. */
static bool is_over(const struct data *data)
{
	return atomic_load(&data->gate) == SHUT && !data_is_switching(data);
}

unsigned data_poll(struct data *data, struct store_done *out, unsigned max)
{
	unsigned n;

	if (data_is_idle(data))
		return 0;
	if (UNLIKELY(!data_enter(data)))
		return is_over(data) ? drain(data, out, max) : 0;
	n = poll_inside(data, out, max);
	data_leave(data);
	return n;
}

int data_arm(struct data *data, int *fd, short *events)
{
	int err;

	if (data_is_idle(data) || data_trouble(data))
		return -ENOENT;
	if (!data_enter(data))
		return is_over(data) ? -EAGAIN : -ENOENT;
	err = tp_arm(data->conn, fd, events);
	data_leave(data);
	return err ? -EAGAIN : 0;
}
