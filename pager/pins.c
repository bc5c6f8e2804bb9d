#include "pager/pins.h"

#include "common/base/lock.h"
#include "pager/maps.h"

static struct {
	struct lock lock; /* guards all below; held while the file is read */
	int status_fd;	  /* -1: not open */
	unsigned brackets;
	uint64_t before_kib; /* when the first bracket was opened */
	uint64_t own_kib;
	bool any;
} pins = {.status_fd = -1};

int pins_open(void)
{
	int fd = maps_open_status();

	pins.status_fd = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

void pins_begin(void)
{
	if (pins.status_fd < 0)
		return;
	lock_acquire(&pins.lock);
	if (pins.brackets++ == 0)
		pins.before_kib = maps_pinned_kib(pins.status_fd);
	lock_release(&pins.lock);
}

void pins_end(void)
{
	uint64_t own;

	if (pins.status_fd < 0)
		return;
	lock_acquire(&pins.lock);
	if (--pins.brackets == 0) {
		own = pins.own_kib + maps_pinned_kib(pins.status_fd);
		pins.own_kib = own > pins.before_kib ? own - pins.before_kib : 0;
	}
	lock_release(&pins.lock);
}

bool pins_any(void)
{
	bool any;

	if (pins.status_fd < 0)
		return false;
	lock_acquire(&pins.lock);
	if (!pins.brackets)
		pins.any = maps_pinned_kib(pins.status_fd) > pins.own_kib;
	any = pins.any;
	lock_release(&pins.lock);
	return any;
}

void pins_reset(void)
{
	pins.lock = (struct lock){0};
	pins.status_fd = -1;
	pins.brackets = 0;
	pins.own_kib = 0;
	pins.any = false;
}
