#include "pager/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12; values from include/uapi/linux/userfaultfd.h of Linux 6.8.
 */
#ifndef UFFDIO_MOVE
struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ((__u64)1 << 1)
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#endif
#ifndef UFFDIO_POISON /* Linux 6.6 */
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#define MAP_EVENTS (UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP)

static int raw_open(enum uffd_way way)
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int dev, fd, err;

	if (way != UFFD_DEVICE) {
		fd = (int)syscall(SYS_userfaultfd,
				  flags | (way == UFFD_USER_ONLY ? UFFD_USER_MODE_ONLY : 0));
		return fd < 0 ? -errno : fd;
	}
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;
	fd = ioctl(dev, USERFAULTFD_IOC_NEW, flags);
	err = fd < 0 ? -errno : fd;
	close(dev);
	return err;
}

static int handshake(int fd, uint64_t features, uint64_t *offered)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	if (ioctl(fd, UFFDIO_API, &api) != 0)
		return -errno;
	*offered = api.features;
	return 0;
}

/* UFFDIO_API works once per descriptor, so every question takes a new one. */
static int ask(enum uffd_way way, uint64_t features, uint64_t *offered)
{
	int fd = raw_open(way);
	int err;

	if (fd < 0)
		return fd;
	err = handshake(fd, features, offered);
	close(fd);
	return err;
}

static enum uffd_way find_way(int *err)
{
	static const enum uffd_way ways[] = {UFFD_SYSCALL, UFFD_DEVICE, UFFD_USER_ONLY};
	int fd;

	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		fd = raw_open(ways[i]);
		if (fd >= 0) {
			close(fd);
			return ways[i];
		}
		if (i == 0)
			*err = fd;
	}
	return UFFD_NONE;
}

void uffd_probe(struct uffd_caps *out)
{
	uint64_t offered = 0, ignored;

	memset(out, 0, sizeof(*out));
	out->way = find_way(&out->err);
	if (out->way == UFFD_NONE)
		return;
	out->err = ask(out->way, 0, &offered);
	if (out->err) {
		out->way = UFFD_NONE;
		return;
	}
	out->features = offered;
	out->move = offered & UFFD_FEATURE_MOVE;
	out->protect = offered & UFFD_FEATURE_PAGEFAULT_FLAG_WP;
	out->thread_id = offered & UFFD_FEATURE_THREAD_ID;
	out->events = (offered & MAP_EVENTS) == MAP_EVENTS;
	out->poison = offered & UFFD_FEATURE_POISON;
	out->sigbus = offered & UFFD_FEATURE_SIGBUS;
	out->wp_async = offered & UFFD_FEATURE_WP_ASYNC;
	out->fork_events = ask(out->way, UFFD_FEATURE_EVENT_FORK, &ignored) == 0;
}

const char *uffd_why_not(const struct uffd_caps *caps)
{
	if (caps->way == UFFD_NONE && caps->err == -ENOSYS)
		return "this kernel has no userfaultfd; it needs CONFIG_USERFAULTFD";
	if (caps->way == UFFD_NONE || caps->way == UFFD_USER_ONLY)
		return "userfaultfd is not permitted; let this user open /dev/userfaultfd, or set "
		       "sysctl vm.unprivileged_userfaultfd=1, or run as root";
	if (!caps->events)
		return "this kernel's userfaultfd does not report changes of the map; it needs "
		       "Linux 4.14";
	if (!caps->move && !caps->protect)
		return "this kernel's userfaultfd can neither move nor protect pages; it needs "
		       "Linux 6.8, or on x86 5.7";
	return NULL;
}

int uffd_open(const struct uffd_caps *caps, bool with_events, int *out)
{
	uint64_t features = 0, ignored;
	int fd = raw_open(caps->way);
	int err;

	if (fd < 0)
		return fd;
	if (caps->move)
		features |= UFFD_FEATURE_MOVE;
	if (with_events)
		features |= MAP_EVENTS;
	if (with_events && caps->thread_id)
		features |= UFFD_FEATURE_THREAD_ID;
	if (with_events && caps->poison)
		features |= UFFD_FEATURE_POISON;
	if (with_events && caps->fork_events)
		features |= UFFD_FEATURE_EVENT_FORK;
	err = handshake(fd, features, &ignored);
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int uffd_register(int fd, uint64_t start, uint64_t bytes, bool protect)
{
	struct uffdio_register reg = {
		.range = {.start = start, .len = bytes},
		.mode = UFFDIO_REGISTER_MODE_MISSING | (protect ? UFFDIO_REGISTER_MODE_WP : 0),
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg) == 0 ? 0 : -errno;
}

int uffd_unregister(int fd, uint64_t start, uint64_t bytes)
{
	struct uffdio_range range = {.start = start, .len = bytes};

	return ioctl(fd, UFFDIO_UNREGISTER, &range) == 0 ? 0 : -errno;
}

/* The kernel leaves bytes done, or a negative errno if it did nothing, in the field. */
static int result(int status, int64_t field, uint64_t *done)
{
	*done = field > 0 ? (uint64_t)field : 0;
	return status == 0 ? 0 : -errno;
}

static int copy_once(int fd, uint64_t to, const void *from, uint64_t bytes, uint64_t *done)
{
	struct uffdio_copy copy = {.dst = to, .src = (uintptr_t)from, .len = bytes};
	int status = ioctl(fd, UFFDIO_COPY, &copy);

	return result(status, copy.copy, done);
}

static uint64_t half(uint64_t bytes)
{
	return (bytes / 2) & ~(PAGE_BYTES - 1);
}

int uffd_copy(int fd, uint64_t to, const void *from, uint64_t bytes, uint64_t *done)
{
	int err = copy_once(fd, to, from, bytes, done);

	while (err == -ENOENT && !*done && bytes > PAGE_BYTES) {
		bytes = half(bytes);
		err = copy_once(fd, to, from, bytes, done);
	}
	return err;
}

int uffd_zero(int fd, uint64_t to, uint64_t bytes, uint64_t *done)
{
	struct uffdio_zeropage zero = {.range = {.start = to, .len = bytes}};
	int status = ioctl(fd, UFFDIO_ZEROPAGE, &zero);

	return result(status, zero.zeropage, done);
}

int uffd_poison(int fd, uint64_t start, uint64_t bytes)
{
	struct uffdio_poison poison = {.range = {.start = start, .len = bytes}};

	return ioctl(fd, UFFDIO_POISON, &poison) == 0 ? 0 : -errno;
}

static int move_once(int fd, uint64_t to, uint64_t from, uint64_t bytes, bool skip_holes,
		     uint64_t *done)
{
	struct uffdio_move move = {
		.dst = to,
		.src = from,
		.len = bytes,
		.mode = skip_holes ? UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0,
	};
	int status = ioctl(fd, UFFDIO_MOVE, &move);

	return result(status, move.move, done);
}

int uffd_move(int fd, uint64_t to, uint64_t from, uint64_t bytes, bool skip_holes, uint64_t *done)
{
	int err = move_once(fd, to, from, bytes, skip_holes, done);

	while ((err == -ENOENT || err == -EINVAL) && !*done && bytes > PAGE_BYTES) {
		bytes = half(bytes);
		err = move_once(fd, to, from, bytes, skip_holes, done);
	}
	return err;
}

int uffd_protect(int fd, uint64_t start, uint64_t bytes, bool on)
{
	struct uffdio_writeprotect protect = {
		.range = {.start = start, .len = bytes},
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &protect) == 0 ? 0 : -errno;
}

/* UFFDIO_CONTINUE is for shared memory: on ours it does nothing, but says EAGAIN before EINVAL. */
bool uffd_is_changing(int fd, uint64_t own)
{
	struct uffdio_continue nothing = {.range = {.start = own, .len = PAGE_BYTES}};

	return ioctl(fd, UFFDIO_CONTINUE, &nothing) != 0 && errno == EAGAIN;
}

void uffd_wake(int fd, uint64_t start, uint64_t bytes)
{
	struct uffdio_range range = {.start = start, .len = bytes};

	(void)ioctl(fd, UFFDIO_WAKE, &range); /* nobody there any more is as good as woken */
}

static void translate(const struct uffd_msg *msg, struct uffd_event *out)
{
	switch (msg->event) {
	case UFFD_EVENT_PAGEFAULT:
		out->kind = UFFD_FAULT;
		out->fault.address = msg->arg.pagefault.address & ~(PAGE_BYTES - 1);
		out->fault.tid = msg->arg.pagefault.feat.ptid;
		out->fault.write = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE;
		out->fault.protected = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP;
		break;
	case UFFD_EVENT_FORK:
		out->kind = UFFD_FORK;
		out->child = (int)msg->arg.fork.ufd;
		break;
	case UFFD_EVENT_REMAP:
		out->kind = UFFD_REMAP;
		out->remap.from = msg->arg.remap.from;
		out->remap.to = msg->arg.remap.to;
		out->remap.bytes = msg->arg.remap.len;
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		out->kind = msg->event == UFFD_EVENT_REMOVE ? UFFD_REMOVE : UFFD_UNMAP;
		out->range.start = msg->arg.remove.start;
		out->range.end = msg->arg.remove.end;
		break;
	default:
		out->kind = UFFD_OTHER;
	}
}

int uffd_read(int fd, struct uffd_event *out, unsigned max)
{
	struct uffd_msg msgs[UFFD_READ_MAX];
	ssize_t got = read(fd, msgs, sizeof(msgs[0]) * (max < UFFD_READ_MAX ? max : UFFD_READ_MAX));
	unsigned n;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	n = (unsigned)((size_t)got / sizeof(msgs[0]));
	for (unsigned i = 0; i < n; i++)
		translate(&msgs[i], &out[i]);
	return (int)n;
}
