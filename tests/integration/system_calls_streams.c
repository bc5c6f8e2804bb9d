#include "tests/integration/system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct ends {
	int in, out; /* what is written to `in` is read from `out` */
};

static struct ends socket_ends(void)
{
	int fds[2];

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
	return (struct ends){fds[0], fds[1]};
}

static struct ends pipe_ends(void)
{
	int fds[2];

	must(!pipe2(fds, O_CLOEXEC), "pipe");
	must(fcntl(fds[0], F_SETPIPE_SZ, PIECE_BYTES) >= (int)PIECE_BYTES, "F_SETPIPE_SZ");
	return (struct ends){fds[1], fds[0]};
}

static void close_ends(struct ends ends)
{
	close(ends.in);
	close(ends.out);
}

static char *plain_buffer(void)
{
	static char *buffer;

	if (!buffer)
		buffer = plain_memory(PIECE_BYTES);
	return buffer;
}

static void read_all(int fd, char *at, size_t len)
{
	ssize_t n;

	for (; len; at += n, len -= (size_t)n) {
		n = read(fd, at, len);
		must(n > 0, "read from a pipe or socket");
	}
}

/* ---- sockets ---- */

int way_send(void)
{
	struct ends ends = socket_ends();

	for (unsigned i = 0; i < rounds; i++) {
		struct piece from = piece_out(), to;
		const char *bytes;

		must(send(ends.in, from.at, from.len, 0) == (ssize_t)from.len, "send");
		must(recv(ends.out, plain_buffer(), from.len, MSG_WAITALL) == (ssize_t)from.len,
		     "recv to what is here");
		piece_must_be(&from, plain_buffer());

		to = piece_out();
		bytes = news(to.len);
		must(send(ends.in, bytes, to.len, 0) == (ssize_t)to.len, "send of what is here");
		must(recv(ends.out, to.at, to.len, MSG_WAITALL) == (ssize_t)to.len, "recv");
		piece_must_have(&to, bytes);
	}
	close_ends(ends);
	return 0;
}

/* A message whose every part is in a page of its own. */
struct message {
	struct msghdr *header;
	struct iovec *vector;
	char *control, *data;
};

#define CONTROL_BYTES CMSG_SPACE(sizeof(int))

static struct message message_make(void)
{
	char *pages = borrow(5 * PAGE_BYTES);
	struct message message = {(void *)pages, (void *)(pages + PAGE_BYTES),
				  pages + 2 * PAGE_BYTES, pages + 3 * PAGE_BYTES};

	memset(pages, 0, 5 * PAGE_BYTES);
	*message.vector = (struct iovec){message.data + 1000, PAGE_BYTES};
	*message.header = (struct msghdr){
		.msg_iov = message.vector,
		.msg_iovlen = 1,
		.msg_control = message.control,
		.msg_controllen = CONTROL_BYTES,
	};
	return message;
}

static void carry_descriptor(const struct message *message, int fd)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(message->header);

	*control = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(fd)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	};
	memcpy(CMSG_DATA(control), &fd, sizeof(fd));
}

/* The descriptor that came is the other end of a pipe. */
static void check_carried(const struct message *message, struct ends pipe)
{
	int fd;

	must(message->header->msg_controllen == CONTROL_BYTES, "control data");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(message->header)), sizeof(fd));
	must(write(fd, "x", 1) == 1 && read(pipe.out, plain_buffer(), 1) == 1, "what was carried");
	close(fd);
}

int way_sendmsg(void)
{
	struct ends ends = socket_ends(), pipe = pipe_ends();
	struct message to = message_make(), from = message_make();
	const char *bytes = news(PAGE_BYTES);

	memcpy(from.vector->iov_base, bytes, PAGE_BYTES);
	carry_descriptor(&from, pipe.in);
	wait_until_out(from.header, 5 * PAGE_BYTES);
	wait_until_out(to.header, 5 * PAGE_BYTES);
	must(sendmsg(ends.in, from.header, 0) == PAGE_BYTES, "sendmsg");
	wait_until_out(to.header, 5 * PAGE_BYTES);
	must(recvmsg(ends.out, to.header, MSG_WAITALL) == PAGE_BYTES, "recvmsg");
	must(memcmp(to.vector->iov_base, bytes, PAGE_BYTES) == 0, "the message");
	must(to.data[999] == 0 && to.data[1000 + PAGE_BYTES] == 0, "around the message");
	check_carried(&to, pipe);
	close_ends(ends);
	close_ends(pipe);
	return 0;
}

/* ---- from file to socket, to memory ---- */

int way_sendfile(void)
{
	struct ends ends = socket_ends();
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();
		const char *bytes = news(piece.len);
		off_t offset = 0;

		file_put(fd, bytes, piece.len);
		must(sendfile(ends.in, fd, &offset, piece.len) == (ssize_t)piece.len, "sendfile");
		must(recv(ends.out, piece.at, piece.len, MSG_WAITALL) == (ssize_t)piece.len,
		     "recv");
		piece_must_have(&piece, bytes);
	}
	close(fd);
	close_ends(ends);
	return 0;
}

/* ---- pipes ---- */

int way_splice(void)
{
	struct ends pipe = pipe_ends();
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();
		const char *bytes = news(piece.len);
		off_t offset = 0;

		file_put(fd, bytes, piece.len);
		must(splice(fd, &offset, pipe.in, NULL, piece.len, 0) == (ssize_t)piece.len,
		     "splice");
		read_all(pipe.out, piece.at, piece.len);
		piece_must_have(&piece, bytes);
	}
	close(fd);
	close_ends(pipe);
	return 0;
}

/* The pages themselves are in the pipe, and may be there for long before somebody reads. */
static void lay_into(struct ends pipe, const struct piece *piece)
{
	struct iovec vector = {piece->at, piece->len};

	must(vmsplice(pipe.in, &vector, 1, 0) == (ssize_t)piece->len, "vmsplice");
	if (random_next() % 8 == 0)
		usleep(20000);
}

int way_vmsplice(void)
{
	struct ends pipe = pipe_ends();
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece from = piece_out(), to;
		size_t done = 0;
		const char *bytes;
		struct iovec vector;
		off_t offset = 0;

		lay_into(pipe, &from);
		while (done < from.len) {
			ssize_t n = splice(pipe.out, NULL, fd, &offset, from.len - done, 0);

			must(n > 0, "splice to a file");
			done += (size_t)n;
		}
		must(pread(fd, plain_buffer(), from.len, 0) == (ssize_t)from.len, "pread");
		piece_must_be(&from, plain_buffer());

		to = piece_out();
		bytes = news(to.len);
		must(write(pipe.in, bytes, to.len) == (ssize_t)to.len, "write to a pipe");
		vector = (struct iovec){to.at, to.len};
		must(vmsplice(pipe.out, &vector, 1, 0) == (ssize_t)to.len, "vmsplice to memory");
		piece_must_have(&to, bytes);
	}
	close(fd);
	close_ends(pipe);
	return 0;
}

/* What is laid into one pipe is read from another, into memory that is out, and then from it. */
int way_tee(void)
{
	struct ends first = pipe_ends(), second = pipe_ends();

	for (unsigned i = 0; i < rounds; i++) {
		struct piece from = piece_out(), to;
		char *bytes = plain_buffer();

		lay_into(first, &from);
		must(tee(first.out, second.in, from.len, 0) == (ssize_t)from.len, "tee");
		read_all(first.out, bytes, from.len);
		piece_must_be(&from, bytes);
		do
			to = piece_out();
		while (to.len < from.len ||
		       (to.at < from.at + PIECE_BYTES && from.at < to.at + PIECE_BYTES));
		to.len = from.len;
		read_all(second.out, to.at, to.len);
		piece_must_have(&to, bytes);
	}
	close_ends(first);
	close_ends(second);
	return 0;
}
