#include "pager/store_internal.h"

#include <unistd.h>

struct fds {
	int *list;
	unsigned count, max;
};

static void add(struct fds *fds, int fd)
{
	if (fd >= 0 && fds->count < fds->max)
		fds->list[fds->count++] = fd;
}

unsigned store_fds(const struct store *store, int *out, unsigned max)
{
	struct fds fds = {out, 0, max};

	for (unsigned lane = 0; lane < STORE_LANES; lane++)
		add(&fds, store->lanes[lane].bell);
	for (unsigned i = 0; i < store->link_count; i++) {
		const struct link *link = store->links[i];

		if (link->state != LINK_UP)
			continue;
		add(&fds, link->channel.fd);
		for (unsigned lane = 0; lane < STORE_LANES; lane++)
			if (link->data[lane].conn)
				add(&fds, tp_fd(link->data[lane].conn));
	}
	return fds.count;
}
