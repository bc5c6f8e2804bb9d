#include "pager/attempt.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/transport/dial.h"
#include "pager/reason.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The resolver's modules want some, and the thread's copy of the program's thread-local variables
 * comes out of it. Only what is touched costs memory. A guess. It is the C library's own mapping:
 * that may be adopted like any stack of the program (nobody who serves a fault waits for an
 * attempt), and is put right in a forked child.
 */
#define STACK_BYTES (2u << 20)

/* Bounds of what a donor may say of its slabs, from wire.h. */
#define LEAST_SLAB (UINT64_C(1) << 20)
#define MOST_SLAB (PAGE_BYTES << STORE_SLAB_SHIFT)

enum state { IDLE, RUNNING, DONE, ABANDONED };

PRINTF_LIKE(3, 4)
static int fail(struct attempt *attempt, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(attempt->why, sizeof(attempt->why), fmt, args);
	va_end(args);
	return err;
}

/* ---- control connection ---- */

static int contact(struct attempt *attempt)
{
	const struct config_donor *donor = attempt->donor;
	char reason[REASON_BYTES];
	int fd, err;

	if (donor->path[0])
		err = dial_unix(donor->path, attempt->deadline_ns, &fd);
	else
		err = dial_tcp(donor->host, donor->port, attempt->deadline_ns, &fd);
	if (err)
		return fail(attempt, err, "%s", reason_text(err, reason));
	channel_open(attempt->channel, fd);
	return 0;
}

/* The running kernel's identity as 16 bytes; all zero, which equals nothing, if there is none. */
static void read_host_id(uint8_t out[WIRE_HOST_ID_BYTES])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[40] = "", *at;
	unsigned digits = 0;

	memset(out, 0, WIRE_HOST_ID_BYTES);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	for (at = text; *at && digits < 2 * WIRE_HOST_ID_BYTES; at++) {
		const char *hex = "0123456789abcdef", *digit = strchr(hex, *at);

		if (!digit)
			continue;
		out[digits / 2] = (uint8_t)(out[digits / 2] << 4 | (digit - hex));
		digits++;
	}
}

static int say_hello(struct attempt *attempt, struct wire_hello *hello)
{
	struct wire_message message = {.type = WIRE_HELLO};
	char reason[REASON_BYTES];
	int err;

	hello->version = WIRE_VERSION;
	hello->min_version = WIRE_VERSION;
	hello->pid = (uint32_t)getpid();
	read_host_id(hello->host_id);
	snprintf(hello->name, sizeof(hello->name), "%s", program_invocation_short_name);
	message.hello = *hello;
	err = channel_send_magic(attempt->channel);
	if (!err)
		err = channel_send(attempt->channel, &message);
	if (err)
		return fail(attempt, err, "%s", reason_text(err, reason));
	return 0;
}

static int refused(struct attempt *attempt, const struct wire_error *error)
{
	if (error->code == WIRE_E_VERSION)
		return fail(attempt, -EPROTO, "it refuses protocol version %d, which we speak: %s",
			    WIRE_VERSION, error->text);
	return fail(attempt, -ECONNREFUSED, "it refuses: %s", error->text);
}

static int check_welcome(struct attempt *attempt)
{
	const struct wire_welcome *welcome = &attempt->welcome;
	uint64_t bytes = welcome->slab_bytes;

	if (welcome->version != WIRE_VERSION)
		return fail(attempt, -EPROTO, "it speaks protocol version %u, and we version %d",
			    welcome->version, WIRE_VERSION);
	if (bytes < LEAST_SLAB || bytes > MOST_SLAB || (bytes & (bytes - 1)))
		return fail(attempt, -EPROTO, "it lends slabs of %llu bytes",
			    (unsigned long long)bytes);
	if (!welcome->renew_ms || welcome->renew_ms >= welcome->lease_ms)
		return fail(attempt, -EPROTO, "it wants to hear every %u ms for leases of %u ms",
			    welcome->renew_ms, welcome->lease_ms);
	return 0;
}

static int await_welcome(struct attempt *attempt)
{
	struct wire_message message;
	char reason[REASON_BYTES];
	int err = channel_wait(attempt->channel, attempt->deadline_ns, &message);

	if (err == -ECONNRESET)
		return fail(attempt, err, "it hung up without a greeting");
	if (err < 0)
		return fail(attempt, err, "%s", reason_text(err, reason));
	if (message.type == WIRE_ERROR)
		return refused(attempt, &message.error);
	if (message.type != WIRE_WELCOME)
		return fail(attempt, -EPROTO, "%s", reason_text(-EPROTO, reason));
	attempt->welcome = message.welcome;
	return check_welcome(attempt);
}

/* ---- data connections ---- */

static int connect_lanes(struct attempt *attempt, enum tp_kind kind, struct tp_target *target)
{
	unsigned lane;
	int err;

	memcpy(target->token, attempt->welcome.token, sizeof(target->token));
	for (lane = 0; lane < STORE_LANES; lane++) {
		err = tp_connect(attempt->tps[kind], target, &attempt->conns[lane]);
		if (err)
			goto err_disconnect;
	}
	attempt->kind = kind;
	return 0;

err_disconnect:
	while (lane-- > 0) {
		tp_disconnect(attempt->conns[lane]);
		attempt->conns[lane] = NULL;
	}
	return err;
}

static int connect_shm(struct attempt *attempt)
{
	struct tp_target target = {.path = attempt->welcome.local_path};

	/* we have just been there; what the donor calls it may be another root's path */
	if (attempt->donor->path[0])
		target.path = attempt->donor->path;
	return connect_lanes(attempt, TP_SHM, &target);
}

static int connect_tcp(struct attempt *attempt)
{
	struct tp_target target = {.port = attempt->welcome.data_port};
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[PARSE_HOST_BYTES], reason[REASON_BYTES];
	int err = -EAFNOSUPPORT;

	/* the address that answered: a name may have others, and would be looked up again */
	if (getpeername(attempt->channel->fd, (struct sockaddr *)&address, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), NULL, 0,
			NI_NUMERICHOST) == 0) {
		target.host = host;
		err = connect_lanes(attempt, TP_TCP, &target);
	}
	if (err)
		return fail(attempt, err, "data connection over tcp to port %u: %s", target.port,
			    reason_text(err, reason));
	return 0;
}

static bool is_this_host(const struct attempt *attempt, const struct wire_hello *hello)
{
	static const uint8_t none[WIRE_HOST_ID_BYTES];

	return memcmp(hello->host_id, none, sizeof(none)) != 0 &&
	       memcmp(hello->host_id, attempt->welcome.host_id, sizeof(none)) == 0;
}

/* Why shm is out of the question, or NULL if it can be tried. */
static const char *shm_obstacle(const struct attempt *attempt, const struct wire_hello *hello)
{
	if (attempt->donor->path[0])
		return NULL;
	if (!is_this_host(attempt, hello))
		return "it is on another host, and the transport is shm";
	if (!attempt->welcome.local_path[0])
		return "it has no local socket (donord --local-socket), and the transport is shm";
	return NULL;
}

static int connect_data(struct attempt *attempt, const struct wire_hello *hello)
{
	const char *obstacle = shm_obstacle(attempt, hello);
	char reason[REASON_BYTES];
	int err;

	if (attempt->transport == CONFIG_SHM && obstacle)
		return fail(attempt, -EHOSTUNREACH, "%s", obstacle);
	if (attempt->transport == CONFIG_TCP || obstacle)
		return connect_tcp(attempt);
	err = connect_shm(attempt);
	if (!err)
		return 0;
	if (attempt->transport == CONFIG_SHM || attempt->donor->path[0])
		return fail(attempt, err, "data connection over shm: %s", reason_text(err, reason));
	log_info("donor %s is on this host, but cannot be used over shm: %s", attempt->donor->text,
		 reason_text(err, reason));
	return connect_tcp(attempt);
}

/* ---- the whole ---- */

static int reach(struct attempt *attempt)
{
	struct wire_hello hello = {.version = WIRE_VERSION};
	int err;

	if (attempt->transport == CONFIG_TCP && attempt->donor->path[0])
		return fail(attempt, -EINVAL,
			    "a Unix socket is of use over shm only, and the transport is tcp");
	err = contact(attempt);
	if (err)
		return err;
	attempt->greeted_ns = clock_ns();
	err = say_hello(attempt, &hello);
	if (!err)
		err = await_welcome(attempt);
	if (!err)
		err = connect_data(attempt, &hello);
	if (err)
		channel_close(attempt->channel);
	return err;
}

/* Closes what a successful attempt has opened. */
static void undo(struct attempt *attempt)
{
	unsigned lane;

	if (attempt->err)
		return;
	for (lane = 0; lane < STORE_LANES; lane++)
		tp_disconnect(attempt->conns[lane]);
	channel_close(attempt->channel);
}

static void *run(void *arg)
{
	struct attempt *attempt = arg;
	uint32_t running = RUNNING;

	attempt->err = reach(attempt);
	if (atomic_compare_exchange_strong(&attempt->state, &running, DONE))
		attempt->wake(attempt->arg);
	else
		undo(attempt);
	return NULL;
}

static int start_thread(struct attempt *attempt)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* a signal of the program's must not run on a thread it knows nothing of */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = FAULT_POINT() ? EAGAIN : pthread_create(&attempt->thread, &attr, run, attempt);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int attempt_start(struct attempt *attempt)
{
	int err;

	attempt->why[0] = '\0';
	memset(attempt->conns, 0, sizeof(attempt->conns));
	atomic_store(&attempt->state, RUNNING);
	err = start_thread(attempt);
	if (err)
		atomic_store(&attempt->state, IDLE);
	return err;
}

bool attempt_is_done(const struct attempt *attempt)
{
	return atomic_load(&attempt->state) == DONE;
}

void attempt_collect(struct attempt *attempt)
{
	pthread_join(attempt->thread, NULL);
	atomic_store(&attempt->state, IDLE);
}

bool attempt_abandon(struct attempt *attempt)
{
	uint32_t running = RUNNING;

	if (atomic_compare_exchange_strong(&attempt->state, &running, ABANDONED)) {
		pthread_detach(attempt->thread);
		return false;
	}
	if (running == DONE) {
		attempt_collect(attempt);
		undo(attempt);
	}
	return true;
}
