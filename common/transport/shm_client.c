/*
 * The client's side of shm: the donor's memory mapped here, and requests that are copies, done when
 * they are posted. The Unix socket carries the memfds, and its end says that the donor, or what it
 * had lent, is gone.
 */
#include "common/transport/dial.h"
#include "common/transport/remotes.h"
#include "common/transport/shm_frame.h"

#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often the socket is looked at while requests go by: a system call, dear beside a copy. */
#define CHECK_NS 1000000u

struct shm_conn {
	struct tp_conn base;
	struct remotes remotes;
	struct lock asking; /* one question at a time on the socket; before remotes.lock */
	_Atomic int error;  /* 0, or the negative errno that ended the connection */
	int fd;
	uint32_t depth;
	uint32_t head, tail; /* of done; free running */
	uint64_t checked_ns;
	struct tp_completion *done; /* ring of `depth` */
};

static struct shm_conn *shm_of(struct tp_conn *conn)
{
	return CONTAINER_OF(conn, struct shm_conn, base);
}

static uint64_t deadline_of(const struct tp *tp)
{
	return clock_ns() + tp->options.connect_timeout_ms * 1000000ull;
}

static int shm_open_client(const struct tp_options *options, struct tp **out)
{
	return tp_plain_open(&tp_shm_client, TP_SHM, options, out);
}

/* ---- connecting ---- */

static void conn_free(struct shm_conn *conn)
{
	const struct tp_options *options = &conn->base.tp->options;

	remotes_destroy(&conn->remotes, options);
	tp_free(options, conn->done, conn->depth * sizeof(*conn->done));
	tp_free(options, conn, sizeof(*conn));
}

static int conn_new(struct tp *tp, struct shm_conn **out)
{
	struct shm_conn *conn;

	conn = tp_alloc(&tp->options, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->base.ops = tp->ops;
	conn->base.tp = tp;
	conn->depth = tp->options.depth;
	remotes_init(&conn->remotes);
	conn->done = tp_alloc(&tp->options, conn->depth * sizeof(*conn->done));
	if (!conn->done) {
		conn_free(conn);
		return -ENOMEM;
	}
	*out = conn;
	return 0;
}

static int shm_connect(struct tp *tp, const struct tp_target *target, struct tp_conn **out)
{
	uint64_t deadline = deadline_of(tp);
	struct shm_conn *conn;
	int err;

	err = conn_new(tp, &conn);
	if (err)
		return err;
	err = dial_unix(target->path, deadline, &conn->fd);
	if (err)
		goto err_free;
	err = dial_hello(conn->fd, TP_SHM_MAGIC, target->token, deadline);
	if (err)
		goto err_close;
	*out = &conn->base;
	return 0;

err_close:
	close(conn->fd);
err_free:
	conn_free(conn);
	return err;
}

static void shm_disconnect(struct tp_conn *base)
{
	struct shm_conn *conn = shm_of(base);
	uint32_t handle;

	for (handle = 0; handle < conn->remotes.used; handle++) {
		const struct remote *remote = remotes_find(&conn->remotes, handle);

		if (remote)
			munmap(remote->base, remote->bytes);
	}
	close(conn->fd);
	conn_free(conn);
}

/* ---- attaching ---- */

static int fd_of(struct msghdr *message)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
	int fd;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS ||
	    cmsg->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

/* An answer and the descriptor that came with it, or -1 for none. */
static int receive_answer(struct shm_conn *conn, uint64_t deadline, struct shm_answer *answer,
			  int *fd)
{
	uint8_t bytes[SHM_ANSWER_BYTES];
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {bytes, sizeof(bytes)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		/* Not the padding: the kernel would fill it with another descriptor. */
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	ssize_t n;
	int err;

	err = dial_wait(conn->fd, POLLIN, deadline);
	if (err)
		return err;
	n = recvmsg(conn->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	*fd = fd_of(&message);
	err = dial_receive(conn->fd, bytes + n, sizeof(bytes) - (size_t)n, deadline);
	if (!err && (message.msg_flags & MSG_CTRUNC))
		err = -EPROTO;
	if (!err)
		err = shm_answer_decode(bytes, answer);
	if (!err)
		err = frame_status_errno(answer->status);
	if (err && *fd >= 0)
		close(*fd);
	return err;
}

/*
 * Asks and waits for the answer. When there is none in time, question and answer have lost step:
 * the socket is hung up, which the connection's owner then notices as any other end.
 */
static int ask(struct shm_conn *conn, enum shm_op op, uint64_t key, struct shm_answer *answer,
	       int *fd)
{
	const struct shm_question question = {.op = op, .key = key};
	uint64_t deadline = deadline_of(conn->base.tp);
	uint8_t bytes[SHM_QUESTION_BYTES];
	int err;

	shm_question_encode(&question, bytes);
	lock_acquire(&conn->asking);
	err = dial_send(conn->fd, bytes, sizeof(bytes), deadline);
	if (!err)
		err = receive_answer(conn, deadline, answer, fd);
	if (err && err != -EACCES)
		shutdown(conn->fd, SHUT_RDWR);
	lock_release(&conn->asking);
	return err;
}

/* A file that could shrink would end this process with SIGBUS at the donor's whim. */
static int check_memfd(int fd, uint64_t bytes)
{
	struct stat st;
	int seals;

	if (fd < 0)
		return -EPROTO;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EPROTO;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_size >= 0 && (uint64_t)st.st_size >= bytes ? 0 : -EPROTO;
}

static int map_memfd(int fd, uint64_t bytes, uint8_t **out)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	/* A child must not write into its parent's slabs, nor a core dump contain them. */
	madvise(base, bytes, MADV_DONTFORK);
	madvise(base, bytes, MADV_DONTDUMP);
	*out = base;
	return 0;
}

static void forget(struct shm_conn *conn, uint64_t key)
{
	struct shm_answer answer;
	int fd = -1;

	/* If it fails the connection is over, and the donor knows from that. */
	if (ask(conn, SHM_UNMAP, key, &answer, &fd) == 0 && fd >= 0)
		close(fd);
}

static int shm_attach(struct tp_conn *base, const struct tp_remote *wanted, uint32_t *handle)
{
	struct shm_conn *conn = shm_of(base);
	struct remote remote = {.key = wanted->key, .bytes = wanted->bytes};
	struct shm_answer answer;
	int err, fd = -1;

	err = ask(conn, SHM_MAP, wanted->key, &answer, &fd);
	if (err)
		return err;
	err = wanted->bytes <= answer.bytes ? check_memfd(fd, wanted->bytes) : -EACCES;
	if (!err)
		err = map_memfd(fd, wanted->bytes, &remote.base);
	if (fd >= 0)
		close(fd);
	if (err)
		goto err_forget;
	err = remotes_add(&conn->remotes, &base->tp->options, &remote, handle);
	if (err)
		goto err_unmap;
	return 0;

err_unmap:
	munmap(remote.base, remote.bytes);
err_forget:
	forget(conn, wanted->key);
	return err;
}

static void shm_detach(struct tp_conn *base, uint32_t handle)
{
	struct shm_conn *conn = shm_of(base);
	const struct remote *found = remotes_find(&conn->remotes, handle);
	uint64_t key;

	if (!found)
		return;
	key = found->key;
	munmap(found->base, found->bytes);
	remotes_remove(&conn->remotes, handle);
	forget(conn, key);
}

/* ---- requests ---- */

/* The donor's end of the socket is gone, or ours was hung up. */
static bool is_gone(const struct shm_conn *conn)
{
	struct pollfd pfd = {.fd = conn->fd, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) > 0;
}

static int check(struct shm_conn *conn)
{
	int err = atomic_load_explicit(&conn->error, memory_order_relaxed);
	uint64_t now;

	if (err)
		return err;
	now = clock_ns();
	if (now - conn->checked_ns < CHECK_NS)
		return 0;
	conn->checked_ns = now;
	if (!is_gone(conn))
		return 0;
	atomic_store_explicit(&conn->error, -ECONNRESET, memory_order_relaxed);
	return -ECONNRESET;
}

static int carry_out(struct shm_conn *conn, const struct tp_request *request)
{
	const struct remote *remote;
	int err;

	err = remotes_check(&conn->remotes, request, &remote);
	if (err)
		return err;
	if (request->op == TP_READ)
		memcpy(request->local, remote->base + request->offset, request->bytes);
	else
		memcpy(remote->base + request->offset, request->local, request->bytes);
	return 0;
}

static int shm_post(struct tp_conn *base, const struct tp_request *requests, unsigned n)
{
	struct shm_conn *conn = shm_of(base);
	unsigned i;
	int err;

	err = check(conn);
	if (err)
		return err;
	for (i = 0; i < n && conn->tail - conn->head < conn->depth; i++) {
		struct tp_completion *done = &conn->done[conn->tail++ % conn->depth];

		done->cookie = requests[i].cookie;
		done->status = carry_out(conn, &requests[i]);
		if (done->status) {
			atomic_store_explicit(&conn->error, done->status, memory_order_relaxed);
			return (int)i + 1;
		}
	}
	return (int)i;
}

static int shm_poll(struct tp_conn *base, struct tp_completion *out, unsigned max)
{
	struct shm_conn *conn = shm_of(base);
	unsigned n = 0;

	if (conn->head == conn->tail)
		(void)check(conn);
	while (n < max && conn->head != conn->tail)
		out[n++] = conn->done[conn->head++ % conn->depth];
	return (int)n;
}

static int shm_arm(struct tp_conn *base, int *fd, short *events)
{
	struct shm_conn *conn = shm_of(base);
	int err = atomic_load_explicit(&conn->error, memory_order_relaxed);

	if (conn->head != conn->tail)
		return -EAGAIN;
	if (err)
		return err;
	*fd = conn->fd;
	*events = POLLRDHUP;
	return 0;
}

static int shm_error(const struct tp_conn *base)
{
	const struct shm_conn *conn = (const struct shm_conn *)base;

	return atomic_load_explicit(&conn->error, memory_order_relaxed);
}

static unsigned shm_descriptors(const struct tp_conn *base, int out[TP_MAX_DESCRIPTORS])
{
	out[0] = ((const struct shm_conn *)base)->fd;
	return 1;
}

const struct tp_client_ops tp_shm_client = {
	.open = shm_open_client,
	.close = tp_plain_close,
	.reg = tp_plain_register,
	.connect = shm_connect,
	.disconnect = shm_disconnect,
	.attach = shm_attach,
	.detach = shm_detach,
	.post = shm_post,
	.poll = shm_poll,
	.arm = shm_arm,
	.error = shm_error,
	.descriptors = shm_descriptors,
};
