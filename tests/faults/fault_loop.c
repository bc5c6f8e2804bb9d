/* A loop with a watch and a timer, from opening to closing. */
#include "common/base/loop.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static void note(void *arg)
{
	(*(int *)arg)++;
}

static void note_ready(void *arg, uint32_t events)
{
	if (events & POLLIN)
		note(arg);
}

static int use(struct loop *loop, int fd)
{
	struct loop_watch *watch;
	struct loop_timer *timer;
	int calls = 0, err;

	err = loop_watch(loop, fd, POLLIN, note_ready, &calls, &watch);
	if (err)
		return err;
	err = loop_timer_start(loop, 1, note, &calls, &timer);
	if (err)
		goto out_watch;
	err = loop_turn(loop, 1000);
	loop_timer_cancel(timer);
	if (err >= 0)
		err = calls > 0 ? 0 : -ENOMSG;
out_watch:
	loop_unwatch(watch);
	return err;
}

/* Whether it worked does not matter here, only that nothing crashes, leaks or hangs. */
int main(void)
{
	struct loop *loop;
	int fds[2];

	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		return 1;
	if (loop_open(&loop) == 0) {
		int err = use(loop, fds[0]);

		loop_close(loop);
		if (err == -ENOMSG)
			return 1;
	}
	close(fds[0]);
	close(fds[1]);
	return 0;
}
