#include "pager/move.h"

#include "pager/pagemap.h"
#include "pager/uffd.h"

#include <errno.h>

static uint64_t count_untold(int pagemap_fd, uint64_t to, uint64_t from, uint64_t bytes)
{
	uint64_t at = 0;

	while (at < bytes && !pagemap_page_is_there(pagemap_fd, from + at) &&
	       pagemap_page_is_there(pagemap_fd, to + at))
		at += PAGE_BYTES;
	return at;
}

int move_counted(int uffd, int pagemap_fd, uint64_t to, uint64_t from, uint64_t bytes,
		 uint64_t *done)
{
	int err = uffd_move(uffd, to, from, bytes, false, done);
	uint64_t told = *done, untold;

	if (LIKELY(!err) || !(err == -EEXIST || (err == -EAGAIN && told)))
		return err;
	untold = count_untold(pagemap_fd, to + told, from + told, bytes - told);
	if (!untold)
		return err;
	uffd_wake(uffd, to + told, untold);
	*done = told + untold;
	return *done == bytes ? 0 : -EAGAIN;
}
