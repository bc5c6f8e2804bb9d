#include "pager/store_internal.h"

#include "common/base/fault_point.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Requests handed to a connection at once; they lie on the stack of the fault thread. */
#define BATCH 32u

#define PAGE_OF(slot) ((slot) & ((1u << STORE_SLAB_SHIFT) - 1))

/* ---- the lane itself ---- */

int lane_open(struct lane *lane)
{
	if (FAULT_POINT())
		return -EMFILE;
	lane->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return lane->bell < 0 ? -errno : 0;
}

void lane_close(struct lane *lane)
{
	if (lane->bell >= 0)
		close(lane->bell);
	lane->bell = -1;
}

void lane_ring(struct lane *lane)
{
	/* in this order: the other way round the lane could find the bell still, and never again
	 * look at it */
	eventfd_write(lane->bell, 1);
	atomic_store(&lane->is_rung, true);
}

static void hush(struct lane *lane)
{
	eventfd_t count;

	if (UNLIKELY(atomic_load_explicit(&lane->is_rung, memory_order_relaxed)) &&
	    atomic_exchange(&lane->is_rung, false))
		eventfd_read(lane->bell, &count);
}

static unsigned failed_count(const struct lane *lane)
{
	return lane->failed_tail - lane->failed_head;
}

/* An io that no connection will see: 1, or 0 if too many wait to be told so. */
static unsigned fail_io(struct lane *lane, const struct store_io *io, int err)
{
	if (failed_count(lane) == LANE_FAILED)
		return 0;
	lane->failed[lane->failed_tail++ % LANE_FAILED] =
		(struct store_done){.cookie = io->cookie, .status = err};
	return 1;
}

static unsigned report_failed(struct lane *lane, struct store_done *out, unsigned max)
{
	unsigned n = 0;

	while (n < max && failed_count(lane))
		out[n++] = lane->failed[lane->failed_head++ % LANE_FAILED];
	return n;
}

/* ---- posting ---- */

/* The donor of a slot, or NULL for a number that was never handed out. */
static struct link *link_of(const struct store *store, uint32_t slot)
{
	unsigned donor;

	if (slot >> STORE_SLAB_SHIFT >= STORE_MAX_SLABS || !slots_pages(store->slots, slot))
		return NULL;
	donor = slots_donor(store->slots, slot);
	return donor < store->link_count ? store->links[donor] : NULL;
}

static bool io_fits(const struct store *store, const struct store_io *io)
{
	return io->count >= 1 && io->count <= STORE_MAX_RUN &&
	       io->count <= slots_pages(store->slots, io->slot) &&
	       PAGE_OF(io->slot) <= slots_pages(store->slots, io->slot) - io->count;
}

static struct tp_request request_of(const struct store *store, enum store_lane lane,
				    const struct store_io *io)
{
	return (struct tp_request){
		.op = lane == STORE_READS ? TP_READ : TP_WRITE,
		.handle = store->places[io->slot >> STORE_SLAB_SHIFT].handles[lane],
		.offset = (uint64_t)PAGE_OF(io->slot) << PAGE_SHIFT,
		.local = io->buffer,
		.bytes = io->count << PAGE_SHIFT,
		.cookie = io->cookie,
	};
}

/* What the first of the ios that goes nowhere fails with; never 0. */
static int why_not(const struct store *store, const struct store_io *io, struct link *link)
{
	int err = link ? verdict_of(&link->verdict) : -EINVAL;

	if (link && slots_is_alive(store->slots, io->slot) && !io_fits(store, io))
		return -EINVAL;
	/* 0: the donor has come back, but without what it held */
	return err ? err : -ECONNRESET;
}

/*
 * The ios from the first on that go to the same connection, inside of it. Looked at inside: a slab
 * that is alive now belongs to this connection, and not to one that this donor had before.
 */
static int post_inside(struct store *store, enum store_lane lane, struct link *link,
		       const struct store_io *ios, unsigned n)
{
	struct tp_request requests[BATCH];
	unsigned i;

	for (i = 0; i < n && i < BATCH; i++) {
		if (i && link_of(store, ios[i].slot) != link)
			break;
		if (!slots_is_alive(store->slots, ios[i].slot) || !io_fits(store, &ios[i]))
			break;
		requests[i] = request_of(store, lane, &ios[i]);
	}
	return i ? data_post(&link->data[lane], requests, i) : -EINVAL;
}

/* Accepts some of the ios, at least one unless the connection or the list of failures is full. */
static unsigned post_some(struct store *store, enum store_lane lane, const struct store_io *ios,
			  unsigned n)
{
	struct link *link = link_of(store, ios[0].slot);
	int got = -ECONNRESET;

	if (link && data_enter(&link->data[lane])) {
		got = post_inside(store, lane, link, ios, n);
		data_leave(&link->data[lane]);
	}
	if (got >= 0)
		return (unsigned)got;
	if (link && data_is_switching(&link->data[lane]))
		return 0;
	return fail_io(&store->lanes[lane], &ios[0], why_not(store, &ios[0], link));
}

unsigned store_post(struct store *store, enum store_lane lane, const struct store_io *ios,
		    unsigned n)
{
	unsigned done = 0, now;

	while (done < n) {
		now = post_some(store, lane, ios + done, n - done);
		if (!now)
			break;
		done += now;
	}
	return done;
}

/* ---- polling ---- */

unsigned store_poll(struct store *store, enum store_lane lane, struct store_done *out, unsigned max)
{
	struct lane *self = &store->lanes[lane];
	unsigned i, n;

	hush(self);
	n = report_failed(self, out, max);
	for (i = 0; i < store->link_count && n < max; i++) {
		unsigned at = (self->next + i) % store->link_count;

		n += data_poll(&store->links[at]->data[lane], out + n, max - n);
	}
	/* whoever comes first may fill `out`: not always the same */
	if (n == max && i)
		self->next = (self->next + i) % store->link_count;
	return n;
}

int store_arm(struct store *store, enum store_lane lane, struct pollfd *fds, unsigned max)
{
	struct lane *self = &store->lanes[lane];
	unsigned i, n = 0;

	if (failed_count(self))
		return -EAGAIN;
	for (i = 0; i < store->link_count; i++) {
		struct data *data = &store->links[i]->data[lane];
		struct pollfd pfd = {.fd = self->bell, .events = POLLIN};
		int err;

		if (data_is_idle(data))
			continue;
		if (!n && max)
			fds[n++] = pfd;
		err = data_arm(data, &pfd.fd, &pfd.events);
		if (err == -EAGAIN)
			return err;
		if (!err && n < max)
			fds[n++] = pfd;
	}
	return (int)n;
}
