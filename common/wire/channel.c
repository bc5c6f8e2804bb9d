#include "common/wire/channel.h"

#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void channel_open(struct channel *channel, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	channel->fd = fd;
	channel->in_len = 0;
	channel->out_len = 0;
	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void channel_close(struct channel *channel)
{
	if (!channel || channel->fd < 0)
		return;
	close(channel->fd);
	channel->fd = -1;
}

bool channel_wants_write(const struct channel *channel)
{
	return channel->out_len > 0;
}

int channel_flush(struct channel *channel)
{
	while (channel->out_len) {
		ssize_t n = send(channel->fd, channel->out, channel->out_len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		channel->out_len -= (size_t)n;
		memmove(channel->out, channel->out + n, channel->out_len);
	}
	return 0;
}

/* A full socket is no failure of the one who queues: the rest goes when it can. */
static int flush_some(struct channel *channel)
{
	int err = channel_flush(channel);

	return err == -EAGAIN ? 0 : err;
}

static int queue(struct channel *channel, const struct wire_message *message)
{
	return wire_encode(message, channel->out + channel->out_len,
			   sizeof(channel->out) - channel->out_len);
}

int channel_send(struct channel *channel, const struct wire_message *message)
{
	int n = queue(channel, message);
	int err;

	if (n == -ENOBUFS) {
		err = flush_some(channel);
		if (err)
			return err;
		n = queue(channel, message);
	}
	if (n < 0)
		return n;
	channel->out_len += (size_t)n;
	return flush_some(channel);
}

int channel_send_magic(struct channel *channel)
{
	static const uint8_t magic[] = {WIRE_MAGIC & 0xff, WIRE_MAGIC >> 8 & 0xff,
					WIRE_MAGIC >> 16 & 0xff, WIRE_MAGIC >> 24 & 0xff};

	if (sizeof(channel->out) - channel->out_len < sizeof(magic))
		return -ENOBUFS;
	memcpy(channel->out + channel->out_len, magic, sizeof(magic));
	channel->out_len += sizeof(magic);
	return flush_some(channel);
}

/* 1 with a message taken off the front, 0 if there is none, or -EPROTO. */
static int take_message(struct channel *channel, struct wire_message *out)
{
	int n = wire_decode(channel->in, channel->in_len, out);

	if (n <= 0)
		return n;
	channel->in_len -= (size_t)n;
	memmove(channel->in, channel->in + n, channel->in_len);
	return 1;
}

/* 1 with more bytes, 0 if there are none now, or why there will be none. */
static int read_some(struct channel *channel)
{
	ssize_t n;

	/* Never full here: a whole frame fits, and a whole frame was taken or refused. */
	do
		n = recv(channel->fd, channel->in + channel->in_len,
			 sizeof(channel->in) - channel->in_len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	channel->in_len += (size_t)n;
	return 1;
}

int channel_receive(struct channel *channel, struct wire_message *out)
{
	int n;

	do {
		n = take_message(channel, out);
		if (n)
			return n;
		n = read_some(channel);
	} while (n > 0);
	return n;
}

/* Waits until the socket can do something for us, or the deadline. */
static int wait_ready(struct channel *channel, uint64_t deadline_ns)
{
	struct pollfd ready = {channel->fd, POLLIN, 0};
	uint64_t now = clock_ns();
	struct timespec left;
	int n;

	if (now >= deadline_ns)
		return -ETIMEDOUT;
	if (channel_wants_write(channel))
		ready.events |= POLLOUT;
	left.tv_sec = (time_t)((deadline_ns - now) / 1000000000u);
	left.tv_nsec = (long)((deadline_ns - now) % 1000000000u);
	n = ppoll(&ready, 1, &left, NULL);
	if (n < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int channel_wait(struct channel *channel, uint64_t deadline_ns, struct wire_message *out)
{
	int err, n;

	for (;;) {
		n = channel_receive(channel, out);
		if (n)
			return n;
		err = wait_ready(channel, deadline_ns);
		if (err)
			return err;
		/* A send that failed may have left the peer's last word to be read: read on. */
		err = channel_flush(channel);
		if (err && err != -EAGAIN)
			channel->out_len = 0;
	}
}
