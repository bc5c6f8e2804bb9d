#include "pager/stream.h"

#include <string.h>

static struct stream_thread *find_thread(struct streams *streams, uint32_t tid)
{
	unsigned oldest = 0;
	unsigned at = tid % STREAM_THREADS;

	streams->turn++;
	for (unsigned i = 0; i < STREAM_THREADS; i++, at = (at + 1) % STREAM_THREADS) {
		if (streams->threads[at].tid == tid)
			goto found;
		if (streams->last_used[at] <= streams->last_used[oldest])
			oldest = at;
		if (!streams->threads[at].tid) {
			oldest = at;
			break;
		}
	}
	at = oldest;
	memset(&streams->threads[at], 0, sizeof(streams->threads[at]));
	streams->threads[at].tid = tid;
found:
	streams->last_used[at] = streams->turn;
	return &streams->threads[at];
}

/*
 * The last window was [next - window, next). Programs skip a page or two, so near behind it counts
 * too; and what was fetched of it may have been cut short, so a fault within it does as well.
 */
static int continues(const struct stream *stream, uint64_t page)
{
	uint64_t reach = stream->window + stream->window / 4;

	if (!stream->window)
		return 0;
	if (stream->step >= 0 && page + stream->window > stream->next &&
	    page + stream->window <= stream->next + reach)
		return 1;
	if (stream->step < 0 && page < stream->next + stream->window &&
	    page + reach >= stream->next + stream->window)
		return -1;
	if (stream->step == 0 && page + 2 == stream->next) /* began at page + 1 */
		return -1;
	return 0;
}

static struct stream *oldest_of(struct stream_thread *thread)
{
	struct stream *oldest = &thread->streams[0];

	for (unsigned i = 1; i < STREAM_PER_THREAD; i++)
		if (thread->streams[i].used < oldest->used)
			oldest = &thread->streams[i];
	return oldest;
}

static uint32_t widen(uint32_t window)
{
	uint32_t wider = window < 4 ? 4 : window * 2;

	return wider > STREAM_MAX_WINDOW ? STREAM_MAX_WINDOW : wider;
}

/* The last fault was at `page`; enters what it asks for, and says so. */
static struct stream_advice go_on(struct stream *stream, uint64_t page)
{
	bool is_steady = stream->window == STREAM_MAX_WINDOW;

	stream->window = widen(stream->window);
	if (stream->step > 0) {
		stream->next = page + stream->window;
		return (struct stream_advice){.first = page,
					      .count = stream->window,
					      .is_steady = is_steady,
					      .next = stream->next,
					      .next_first = stream->next};
	}
	if (stream->window > page + 1)
		stream->window = (uint32_t)page + 1;
	stream->next = page - stream->window;
	return (struct stream_advice){.first = page + 1 - stream->window,
				      .count = stream->window,
				      .is_steady = is_steady && page >= 2 * STREAM_MAX_WINDOW,
				      .next = stream->next,
				      .next_first = stream->next + 1 - stream->window};
}

struct stream_advice stream_advise(struct streams *streams, uint32_t tid, uint64_t page)
{
	struct stream_thread *thread = find_thread(streams, tid);
	struct stream *stream;
	int step;

	thread->turn++;
	for (unsigned i = 0; i < STREAM_PER_THREAD; i++) {
		stream = &thread->streams[i];
		step = continues(stream, page);
		if (!step)
			continue;
		stream->step = step;
		stream->used = thread->turn;
		return go_on(stream, page);
	}
	stream = oldest_of(thread);
	*stream = (struct stream){.next = page + 1, .window = 1, .used = thread->turn};
	return (struct stream_advice){.first = page, .count = 1};
}
