#include "pager/pins.h"

#include "common/base/lock.h"
#include "pager/maps.h"

static struct {
	struct lock lock; /* guards all below; held while the file is read */
	int status_fd;	  /* the engine's; -1: none */
	unsigned brackets;
	uint64_t before_kib; /* when the first bracket was opened */
	uint64_t own_kib;
	bool any;
} pins = {.status_fd = -1};

void pins_open(int status_fd)
{
	pins.status_fd = status_fd;
}

void pins_begin(void)
{
	if (pins.status_fd < 0)
		return;
	lock_acquire(&pins.lock);
	if (pins.brackets++ == 0)
		pins.before_kib = maps_kib(pins.status_fd, MAPS_PINNED);
	lock_release(&pins.lock);
}

void pins_end(void)
{
	uint64_t own;

	if (pins.status_fd < 0)
		return;
	lock_acquire(&pins.lock);
	if (--pins.brackets == 0) {
		own = pins.own_kib + maps_kib(pins.status_fd, MAPS_PINNED);
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
		pins.any = maps_kib(pins.status_fd, MAPS_PINNED) > pins.own_kib;
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
