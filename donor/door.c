#include "donor/door.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/loop.h"
#include "donor/donor.h"
#include "donor/peer.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC_BYTES 4

struct caller {
	struct donor *donor;
	int fd;
	bool is_local;
	bool said_a_part; /* not watched until the next sweep */
	uint64_t deadline_ns;
	struct loop_watch *watch;
	TAILQ_ENTRY(caller) link;
};

/* The caller is gone afterwards, its descriptor is the one who calls us. */
static int caller_release(struct caller *caller)
{
	struct door *door = &caller->donor->door;
	int fd = caller->fd;

	loop_unwatch(caller->watch);
	TAILQ_REMOVE(&door->callers, caller, link);
	door->count--;
	free(caller);
	return fd;
}

static void send_away(struct caller *caller, const char *why)
{
	char peer[PEER_TEXT_BYTES];

	quiet_line(&caller->donor->strangers, clock_ns(), LOG_INFO, "%s closed: %s",
		   peer_text(caller->fd, peer), why);
	close(caller_release(caller));
}

static void pass_to_server(struct caller *caller, enum tp_kind kind)
{
	struct tp_server *server = caller->donor->servers[kind];
	int err;

	if (!server || caller->is_local != (kind == TP_SHM)) {
		send_away(caller, "this kind of data connection is not served here");
		return;
	}
	err = tp_server_take(server, caller_release(caller));
	if (err)
		log_debug("data connection not taken: %s", strerror(-err));
}

static void pass_to_sessions(struct caller *caller)
{
	struct donor *donor = caller->donor;

	donor_session_open(donor, caller_release(caller));
}

static void identify(struct caller *caller, uint32_t magic)
{
	switch (magic) {
	case WIRE_MAGIC:
		pass_to_sessions(caller);
		return;
	case TP_TCP_MAGIC:
		pass_to_server(caller, TP_TCP);
		return;
	case TP_SHM_MAGIC:
		pass_to_server(caller, TP_SHM);
		return;
	default:
		send_away(caller, "it speaks another protocol");
	}
}

/*
 * Waiting for POLLIN with a part in the buffer would spin until the rest comes: leave it to the
 * next sweep. Nobody who means well sends four bytes in two pieces.
 */
static void wait_for_rest(struct caller *caller)
{
	if (caller->said_a_part)
		return;
	caller->said_a_part = true;
	if (loop_rewatch(caller->watch, 0))
		send_away(caller, "out of memory");
}

static void look(struct caller *caller, bool is_hung_up)
{
	uint32_t magic;
	ssize_t n = recv(caller->fd, &magic, MAGIC_BYTES, MSG_PEEK | MSG_DONTWAIT);

	if (n == MAGIC_BYTES)
		identify(caller, le32toh(magic));
	else if (n < 0 && (errno == EAGAIN || errno == EINTR) && !is_hung_up)
		return;
	else if (n <= 0 || is_hung_up)
		send_away(caller, "it left without a word");
	else
		wait_for_rest(caller);
}

static void caller_ready(void *arg, uint32_t events)
{
	look(arg, events & (POLLHUP | POLLERR));
}

void door_open(struct donor *donor)
{
	TAILQ_INIT(&donor->door.callers);
	donor->door.count = 0;
}

void door_close(struct donor *donor)
{
	struct caller *caller;

	while ((caller = TAILQ_FIRST(&donor->door.callers)))
		close(caller_release(caller));
}

static void make_room(struct door *door)
{
	if (door->count == DOOR_MAX)
		send_away(TAILQ_FIRST(&door->callers), "too many connections that say nothing");
}

void door_take(struct donor *donor, int fd, bool is_local)
{
	struct caller *caller = FAULT_POINT() ? NULL : calloc(1, sizeof(*caller));

	if (!caller)
		goto err_close;
	caller->donor = donor;
	caller->fd = fd;
	caller->is_local = is_local;
	caller->deadline_ns = clock_ns() + DOOR_PATIENCE_NS;
	if (loop_watch(donor->loop, fd, POLLIN, caller_ready, caller, &caller->watch))
		goto err_free;
	make_room(&donor->door);
	TAILQ_INSERT_TAIL(&donor->door.callers, caller, link);
	donor->door.count++;
	return;

err_free:
	free(caller);
err_close:
	close(fd);
}

/* All have the same time: those whose time is over are the first ones. */
static void close_silent(struct door *door, uint64_t now_ns)
{
	struct caller *caller;

	while ((caller = TAILQ_FIRST(&door->callers)) && caller->deadline_ns <= now_ns)
		send_away(caller, "it said nothing");
}

void door_sweep(struct donor *donor, uint64_t now_ns)
{
	struct caller *caller = TAILQ_FIRST(&donor->door.callers);
	struct caller *next;

	for (; caller; caller = next) {
		next = TAILQ_NEXT(caller, link);
		if (caller->said_a_part)
			look(caller, false);
	}
	close_silent(&donor->door, now_ns);
}
