/*
 * One data connection to a donor, used by one lane and closed by the care thread.
 *
 * The lane calls data_enter(), uses the connection, and calls data_leave(); neither waits. The
 * care thread shuts the gate and, if the lane is not inside at that moment, disconnects; what
 * was in flight the lane then finishes with the donor's verdict. So a dead donor never makes the
 * lane wait, and no connection is closed under its owner's feet.
 *
 *      gate      lane                         care
 *      SHUT      finishes what was in flight  data_open() ──▶ OPEN
 *      OPEN      posts and polls              data_shut() ──▶ CLOSING ──▶ SHUT when not inside
 *      CLOSING   stays outside                data_shut() again
 *
 * Where the donor can be reached in another way, the connection may be exchanged: then what was in
 * flight is not finished but posted again on the next one, and the lane merely waits.
 *
 *      data_allow_switch(true): an error of the connection is no verdict; data_trouble() tells
 *      data_switch_begin(), data_shut(), … a new connection …, data_reopen()
 *      or data_switch_give_up() and a verdict: all that was in flight fails
 */
#ifndef PAGER_DATA_H
#define PAGER_DATA_H

#include "common/base/compiler.h"
#include "common/transport/transport.h"
#include "pager/store.h"
#include "pager/verdict.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Requests in flight on one connection. Enough for the longest way: 256 of 64 pages are 64 MiB. */
#define DATA_DEPTH 256

struct data_io;

struct data {
	struct verdict *verdict;    /* the donor's */
	struct tp_conn *conn;	    /* written by care while SHUT; used by the lane while inside */
	uint32_t generation;	    /* of conn; likewise */
	uint32_t posted_generation; /* nothing older is in flight; owner: lane */
	struct data_io *ios;	    /* DATA_DEPTH; owner: lane */
	uint32_t free_io;	    /* first of a list; owner: lane */
	_Atomic uint32_t gate;	    /* written by care, as the next two */
	_Atomic bool may_switch;
	_Atomic bool is_switching;
	_Atomic int32_t
		trouble; /* errno that ended a connection that may be exchanged; by the lane */
	_Atomic bool is_inside; /* written by the lane, as all below */
	_Atomic uint32_t in_flight;
	_Atomic uint64_t bytes; /* of requests that completed well */
};

/* ---- care thread ---- */

int data_init(struct data *data, struct verdict *verdict) MUST_CHECK;
/* The lane must be at rest. */
void data_destroy(struct data *data);
/* Takes the connection over. Only when it is shut and idle. */
void data_open(struct data *data, struct tp_conn *conn);
/* True when it is disconnected; false if the lane is inside just now: try again. */
bool data_shut(struct data *data) MUST_CHECK;

/* Whether the end of this connection is to be a trouble and no verdict. */
void data_allow_switch(struct data *data, bool allow);
/* The errno that has ended it, or 0. */
int data_trouble(const struct data *data);
/* From now on the lane waits instead of failing; then data_shut(). */
void data_switch_begin(struct data *data);
/*
 * Takes another connection to the same donor over. What is in flight will be posted there;
 * `translate` gives the handle that a memory has on it.
 */
typedef uint32_t data_translate_fn(void *arg, uint32_t handle);
void data_reopen(struct data *data, struct tp_conn *conn, data_translate_fn *translate, void *arg);
/* There will be none. After the verdict. */
void data_switch_give_up(struct data *data);

/* ---- any thread ---- */

/* Whether the lane waits for nothing. */
bool data_is_idle(const struct data *data);

/* ---- the lane ---- */

/* False if there is no connection to use (any more, or for now: data_is_switching()). */
bool data_enter(struct data *data) MUST_CHECK;
bool data_is_switching(const struct data *data);
void data_leave(struct data *data);

/*
 * Inside. Returns how many requests, from the first on, were accepted, 0 if it is full or to be
 * exchanged, or the error that ended the connection (the verdict is passed then). Changes the
 * requests' cookies.
 */
int data_post(struct data *data, struct tp_request *requests, unsigned n) MUST_CHECK;

/* Outside. Up to `max` completions, also of a connection that was shut. */
unsigned data_poll(struct data *data, struct store_done *out, unsigned max) MUST_CHECK;

/* Outside. What to wait for: 0; -EAGAIN: poll first; -ENOENT: nothing in flight, or being shut. */
int data_arm(struct data *data, int *fd, short *events) MUST_CHECK;

#endif
