#include "tests/bench/floor_wire.h"

#include "tests/bench/content.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* As large as the header that a protocol would send. */
struct read_request {
	uint64_t page;
	uint64_t count;
	uint64_t unused[2];
};

/* NULL when there is no memory. */
static uint8_t *map_shared(uint64_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

static void fill_all(uint8_t *base, uint64_t pages, uint64_t seed)
{
	for (uint64_t page = 0; page < pages; page++)
		content_fill((uint64_t *)(base + page * PAGE_BYTES), seed, page, 0);
}

/* ---- whole messages, sleeping or spinning ---- */

static int receive_all(int fd, void *data, size_t bytes, bool spin)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = recv(fd, (char *)data + done, bytes - done,
				 spin ? MSG_DONTWAIT : MSG_WAITALL);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			return -ECONNRESET;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
		else
			sched_yield(); /* whoever is waited for may need this very processor */
	}
	return 0;
}

static int send_all(int fd, const void *data, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = send(fd, (const char *)data + done, bytes - done, MSG_NOSIGNAL);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* ---- server ---- */

static NORETURN void serve(int fd, uint64_t pages, uint64_t seed, bool spin)
{
	struct read_request request;
	uint8_t *base = map_shared(pages * PAGE_BYTES);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!base)
		_exit(1);
	fill_all(base, pages, seed);
	while (receive_all(fd, &request, sizeof(request), spin) == 0) {
		if (request.page >= pages || request.count > pages - request.page)
			_exit(1);
		if (send_all(fd, base + request.page * PAGE_BYTES, request.count * PAGE_BYTES))
			_exit(1);
	}
	_exit(0);
}

static int listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	*address = (struct sockaddr_in){.sin_family = AF_INET};
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)address, len) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)address, &len)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Both ends of one connection over loopback. */
static int connect_pair(int ends[2])
{
	struct sockaddr_in address;
	int one = 1;
	int err;
	int listener = listen_on_loopback(&address);

	if (listener < 0)
		return listener;
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&address, sizeof(address))) {
		err = -errno;
		goto err_close;
	}
	ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (ends[1] < 0) {
		err = -errno;
		goto err_close;
	}
	for (unsigned i = 0; i < 2; i++)
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
	return 0;

err_close:
	close(ends[0]);
	close(listener);
	return err;
}

static int start_server(struct floor_wire *wire, uint64_t pages, uint64_t seed)
{
	int ends[2] = {-1, -1};
	int err = connect_pair(ends);

	if (err)
		return err;
	wire->pid = fork();
	if (wire->pid == 0) {
		close(ends[0]);
		serve(ends[1], pages, seed, wire->kind == FLOOR_TCP_SPIN);
	}
	close(ends[1]);
	wire->fd = ends[0];
	if (wire->pid < 0) {
		close(ends[0]);
		return -EAGAIN;
	}
	return 0;
}

/* ---- client ---- */

int floor_wire_open(enum floor_wire_kind kind, uint64_t pages, uint64_t seed,
		    struct floor_wire *out)
{
	bool shm = kind == FLOOR_SHM;
	struct floor_wire wire = {
		.kind = kind,
		.bytes = (shm ? pages : FLOOR_WIRE_MAX_PAGES) * PAGE_BYTES,
	};
	int err;

	wire.pages = map_shared(wire.bytes);
	if (!wire.pages)
		return -ENOMEM;
	err = shm ? 0 : start_server(&wire, pages, seed);
	if (err) {
		munmap(wire.pages, wire.bytes);
		return err;
	}
	if (shm)
		fill_all(wire.pages, pages, seed);
	*out = wire;
	return 0;
}

void floor_wire_close(struct floor_wire *wire)
{
	munmap(wire->pages, wire->bytes);
	if (wire->kind == FLOOR_SHM)
		return;
	close(wire->fd); /* the end of the stream ends the server */
	waitpid(wire->pid, NULL, 0);
}

const void *floor_wire_read(struct floor_wire *wire, uint64_t page, unsigned count)
{
	struct read_request request = {.page = page, .count = count};

	if (wire->kind == FLOOR_SHM)
		return wire->pages + page * PAGE_BYTES;
	if (send_all(wire->fd, &request, sizeof(request)) ||
	    receive_all(wire->fd, wire->pages, count * PAGE_BYTES, wire->kind == FLOOR_TCP_SPIN))
		return NULL;
	return wire->pages;
}
