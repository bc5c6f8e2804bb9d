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
	for (unsigned i = 0; i < store->link_count; i++)
		for (unsigned j = 0; j < LINK_FDS; j++)
			add(&fds, store->links[i]->fds[j]);
	return fds.count;
}
