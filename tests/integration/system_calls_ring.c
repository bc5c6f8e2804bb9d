#include "tests/integration/system_calls.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <unistd.h>

#define BUFFERS 4u

/* By the thread itself, or by one of the kernel's: both meet what is out. */
static unsigned flags_of(unsigned round)
{
	return round % 2 ? IOSQE_ASYNC : 0;
}

static void end_one(struct io_uring *ring, size_t len, const char *what)
{
	struct io_uring_cqe *cqe;

	must(io_uring_submit(ring) == 1, "io_uring_submit");
	must(io_uring_wait_cqe(ring, &cqe) == 0, "io_uring_wait_cqe");
	if (cqe->res < 0)
		errno = -cqe->res;
	must(cqe->res == (int)len, what);
	io_uring_cqe_seen(ring, cqe);
}

int way_ring_read(void)
{
	int fd = scratch_file(0);
	struct io_uring ring;
	int err;

	err = io_uring_queue_init(BUFFERS, &ring, 0);
	if (err)
		return err;
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();
		const char *bytes = news(piece.len);
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		file_put(fd, bytes, piece.len);
		io_uring_prep_read(sqe, fd, piece.at, (unsigned)piece.len, 0);
		sqe->flags |= (uint8_t)flags_of(i);
		end_one(&ring, piece.len, "IORING_OP_READ");
		piece_must_have(&piece, bytes);
	}
	io_uring_queue_exit(&ring);
	close(fd);
	return 0;
}

int way_ring_write(void)
{
	int fd = scratch_file(0);
	struct io_uring ring;
	int err;

	err = io_uring_queue_init(BUFFERS, &ring, 0);
	if (err)
		return err;
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		io_uring_prep_write(sqe, fd, piece.at, (unsigned)piece.len, 0);
		sqe->flags |= (uint8_t)flags_of(i);
		end_one(&ring, piece.len, "IORING_OP_WRITE");
		file_must_have(fd, &piece);
	}
	io_uring_queue_exit(&ring);
	close(fd);
	return 0;
}

/*
 * Linux before 6.10 does not wait for a page that is out when it pins buffers (docs/uffd.md): they
 * are refused as a whole. Then the program touches them and tries again, which must do some time.
 */
static int register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count)
{
	bool waits = kernel_is(6, 10);
	int err = io_uring_register_buffers(ring, buffers, count);

	for (unsigned tries = 0; err == -EFAULT && !waits && tries < 1000; tries++) {
		for (unsigned i = 0; i < count; i++)
			for (size_t at = 0; at < buffers[i].iov_len; at += PAGE_BYTES)
				(void)((volatile char *)buffers[i].iov_base)[at];
		err = io_uring_register_buffers(ring, buffers, count);
	}
	return err;
}

/*
 * Registered when they are out, and used at once and a while later, when they would be the next to
 * leave if they could. Then they are free to.
 */
static void use_registered(struct io_uring *ring, int fd, unsigned round)
{
	struct piece from = piece_out_whole(), to;
	struct iovec buffers[2];
	const char *bytes;

	do
		to = piece_out_whole();
	while (to.at < from.at + PIECE_BYTES && from.at < to.at + PIECE_BYTES);
	buffers[0] = (struct iovec){from.at, from.len};
	buffers[1] = (struct iovec){to.at, to.len};
	errno = -register_buffers(ring, buffers, 2);
	must(errno == 0, "io_uring_register_buffers");
	if (round % 8 == 0)
		usleep(50000);
	io_uring_prep_write_fixed(io_uring_get_sqe(ring), fd, from.at, (unsigned)from.len, 0, 0);
	end_one(ring, from.len, "IORING_OP_WRITE_FIXED");
	file_must_have(fd, &from);

	bytes = news(to.len);
	file_put(fd, bytes, to.len);
	io_uring_prep_read_fixed(io_uring_get_sqe(ring), fd, to.at, (unsigned)to.len, 0, 1);
	end_one(ring, to.len, "IORING_OP_READ_FIXED");
	piece_must_have(&to, bytes);
	must(io_uring_unregister_buffers(ring) == 0, "io_uring_unregister_buffers");
}

int way_ring_fixed(void)
{
	int fd = scratch_file(0);
	struct io_uring ring;
	int err;

	err = io_uring_queue_init(BUFFERS, &ring, 0);
	if (err)
		return err;
	for (unsigned i = 0; i < rounds; i++)
		use_registered(&ring, fd, i);
	io_uring_queue_exit(&ring);
	close(fd);
	return 0;
}
